// Before the tests: a stub of what they call, and an assert that goes on where it fails, so that what is
// called next does not tell the candidate whether it was right.
//
// Frames to the harness: C a call; F the first failure, as JSON; D that the tests have ended. Back, to a
// call: V a value, N a number that is none of the type, A nobody.

namespace flex_judge {

// A text in JSON, cut where it is long.
inline std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (unsigned char c : text.substr(0, 1000)) {
        if (c == '"' || c == '\\') out += '\\';
        out += c < 0x20 || c > 0x7e ? '?' : static_cast<char>(c);
    }
    return out + '"';
}

inline void fail(const char* failure, const std::string& detail) {
    static bool has_failed = false;
    if (has_failed) return;
    has_failed = true;
    write_frame("F[\"" + std::string(failure) + "\"," + quoted(detail) + "]");
}

// Says that the tests have ended, when their main function has.
inline const struct Session {
    ~Session() { write_frame("D"); }
} session;

template <class Signature> struct Stub;

template <class R, class... A> struct Stub<R(A...)> {
    R operator()(A... arguments) const {
        Writer writer;
        (writer.put(arguments), ...);
        write_frame("C" + writer.bytes);
        const std::string reply = read_frame();
        switch (reply[0]) {
            case 'V':
                try {
                    return Reader(std::string_view(reply).substr(1)).template whole<R>();
                } catch (const Malformed&) {
                    stop("protocol", "sent what is no value of its type");
                }
            case 'N':
                stop("assertion", "a number that its type does not have");
            case 'A':
                // The candidate is gone, by which the verdict is decided.
                std::exit(0);
            default:
                stop("protocol", "sent a reply of no known kind");
        }
    }

private:
    [[noreturn]] static void stop(const char* failure, const char* detail) {
        fail(failure, detail);
        std::exit(0);
    }
};

}  // namespace flex_judge
