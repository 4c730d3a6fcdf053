// Frames to and from the harness, and values in them. A frame is four bytes of length, big endian, then
// that many bytes. The types of values are known on both sides, so only their content is written: whole
// numbers in eight bytes, floating ones and truth values as they lie in memory, texts and containers after
// their count.
#include <bits/stdc++.h>
#include <unistd.h>

namespace flex_judge {

// The file descriptors that `onChannel` gives a process.
constexpr int requests = 3, replies = 4;

// The bytes are not those of a value of the type.
struct Malformed {};

inline void read_exactly(char* bytes, size_t size) {
    while (size > 0) {
        ssize_t count = ::read(requests, bytes, size);
        if (count <= 0) ::_exit(0);
        bytes += count;
        size -= count;
    }
}

inline std::string read_frame() {
    unsigned char head[4];
    read_exactly(reinterpret_cast<char*>(head), 4);
    std::string payload(head[0] << 24 | head[1] << 16 | head[2] << 8 | head[3], '\0');
    read_exactly(payload.data(), payload.size());
    return payload;
}

inline void write_frame(const std::string& payload) {
    std::string frame;
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(payload.size() >> shift);
    frame += payload;
    for (size_t sent = 0; sent < frame.size();) {
        ssize_t count = ::write(replies, frame.data() + sent, frame.size() - sent);
        if (count <= 0) ::_exit(0);
        sent += count;
    }
}

class Writer {
public:
    std::string bytes;

    template <class T> std::enable_if_t<std::is_integral_v<T>> put(T value) {
        if constexpr (std::is_same_v<T, bool>) raw(static_cast<char>(value));
        else raw(static_cast<int64_t>(value));
    }
    template <class T> std::enable_if_t<std::is_floating_point_v<T>> put(T value) { raw(value); }
    void put(const std::string& text) {
        put(text.size());
        bytes += text;
    }
    template <class... T> void put(const std::vector<T...>& items) { all(items); }
    template <class... T> void put(const std::map<T...>& items) { all(items); }
    template <class A, class B> void put(const std::pair<A, B>& pair) {
        put(pair.first);
        put(pair.second);
    }
    template <class... T> void put(const std::tuple<T...>& items) {
        std::apply([&](const auto&... item) { (put(item), ...); }, items);
    }
    template <class T> void put(const std::optional<T>& value) {
        put(value.has_value());
        if (value) put(*value);
    }
    void put(const std::any& value) {
        if (!(put_if<int>('i', value) || put_if<long>('l', value) || put_if<double>('d', value) ||
              put_if<float>('f', value) || put_if<bool>('b', value) || put_if<std::string>('s', value)))
            put_text(value);
    }

private:
    template <class T> void raw(T value) {
        bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
    template <class Items> void all(const Items& items) {
        put(items.size());
        for (const auto& item : items) put(item);
    }
    template <class T> bool put_if(char tag, const std::any& value) {
        if (value.type() != typeid(T)) return false;
        bytes += tag;
        put(std::any_cast<const T&>(value));
        return true;
    }
    // A text, or word that there is something of another type.
    void put_text(const std::any& value) {
        const bool is_text = value.type() == typeid(const char*);
        bytes += is_text ? 't' : value.has_value() ? 'o' : 'e';
        if (is_text) put(std::string(std::any_cast<const char*>(value)));
    }
};

class Reader {
public:
    explicit Reader(std::string_view bytes) : rest(bytes) {}

    // The value that is all of the bytes.
    template <class T> T whole() {
        T value = get(static_cast<T*>(nullptr));
        if (!rest.empty()) throw Malformed();
        return value;
    }

private:
    std::string_view rest;

    std::string_view take(size_t size) {
        if (size > rest.size()) throw Malformed();
        std::string_view taken = rest.substr(0, size);
        rest.remove_prefix(size);
        return taken;
    }
    template <class T> T raw() {
        T value;
        std::memcpy(&value, take(sizeof value).data(), sizeof value);
        return value;
    }
    // A count of things of at least a byte each.
    size_t count() {
        const int64_t size = raw<int64_t>();
        if (size < 0 || static_cast<size_t>(size) > rest.size()) throw Malformed();
        return size;
    }
    template <class T> T next() { return get(static_cast<T*>(nullptr)); }

    template <class T> std::enable_if_t<std::is_integral_v<T>, T> get(T*) {
        if constexpr (std::is_same_v<T, bool>) return raw<char>() != 0;
        else return static_cast<T>(raw<int64_t>());
    }
    template <class T> std::enable_if_t<std::is_floating_point_v<T>, T> get(T*) { return raw<T>(); }
    std::string get(std::string*) { return std::string(take(count())); }
    template <class T> std::vector<T> get(std::vector<T>*) {
        std::vector<T> items;
        for (size_t left = count(); left > 0; left--) items.push_back(next<T>());
        return items;
    }
    template <class K, class V> std::map<K, V> get(std::map<K, V>*) {
        std::map<K, V> items;
        for (size_t left = count(); left > 0; left--) items.insert(next<std::pair<K, V>>());
        return items;
    }
    // In a list of initializers, what is read first comes first.
    template <class A, class B> std::pair<A, B> get(std::pair<A, B>*) {
        return std::pair<A, B>{next<A>(), next<B>()};
    }
    template <class... T> std::tuple<T...> get(std::tuple<T...>*) { return std::tuple<T...>{next<T>()...}; }
    template <class T> std::optional<T> get(std::optional<T>*) {
        if (!next<bool>()) return std::nullopt;
        return next<T>();
    }
    std::any get(std::any*) {
        struct Other {};
        switch (raw<char>()) {
            case 'i': return next<int>();
            case 'l': return next<long>();
            case 'd': return next<double>();
            case 'f': return next<float>();
            case 'b': return next<bool>();
            case 's': return next<std::string>();
            // Kept for as long as the process runs, as the text of a literal is.
            case 't': return static_cast<const char*>((new std::string(next<std::string>()))->c_str());
            case 'o': return Other();
            case 'e': return std::any();
            default: throw Malformed();
        }
    }
};

}  // namespace flex_judge
