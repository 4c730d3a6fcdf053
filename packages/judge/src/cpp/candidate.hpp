// Before the candidate's source: what its main function does, which answers calls. What it says is never
// believed.

namespace flex_judge {

template <class Signature> struct Serve;

template <class R, class... A> struct Serve<R(A...)> {
    // Answers with what `f` gives, until the harness is gone. What `f` throws ends the process.
    template <class F> [[noreturn]] static void with(F f) {
        constexpr size_t token = 8;
        for (;;) {
            const std::string request = read_frame();
            const bool is_call = request[token] == 'Q';
            write_frame(request.substr(0, token) + (is_call ? answer(f, request.substr(token + 1)) : "L"));
        }
    }

private:
    template <class F> static std::string answer(F f, const std::string& content) {
        auto arguments = Reader(content).template whole<std::tuple<std::decay_t<A>...>>();
        Writer writer;
        const auto& result = std::apply(f, std::move(arguments));
        const R& value = result;
        // A function of another type than was asked for, to whose result no value of that type is equal.
        if constexpr (std::is_arithmetic_v<R> && std::is_arithmetic_v<std::decay_t<decltype(result)>>) {
            if (value != result && result == result) return "N";
        }
        writer.put(value);
        return "V" + writer.bytes;
    }
};

}  // namespace flex_judge
