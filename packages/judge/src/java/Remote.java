package flexjudge;

import java.io.IOException;
import java.lang.reflect.Array;

/** What the stubs in the tests call: hands a call to the candidate's process and waits for its answer. */
public final class Remote {
  private static final StackWalker STACK =
      StackWalker.getInstance(StackWalker.Option.RETAIN_CLASS_REFERENCE);

  private static Channel channel;
  private static int calls = 0;
  private static boolean gone;
  private static Thrown lastThrown;
  private static Failures failures;

  private Remote() {}

  /** The candidate's process has ended; no call is answered any more. */
  static final class Gone extends Error {}

  /** Takes what fails the tests, as it happens. */
  interface Failures {
    /** `line` is that of the check in the tests; 0 where there is none. */
    void add(Throwable failure, int line);
  }

  /** Readies this class for the next candidate. */
  static void reset(Channel toCandidate, Failures toFailures) {
    channel = toCandidate;
    failures = toFailures;
    gone = false;
    lastThrown = null;
  }

  /** What softened tests call where a check of theirs fails. */
  public static void failed(Throwable failure, int line) {
    failures.add(failure, line);
  }

  /** The candidate's exception that this is, or null. */
  static Thrown thrownBy(Throwable exception) {
    return lastThrown != null && lastThrown.exception() == exception ? lastThrown : null;
  }

  /**
   * Calls the candidate's static method of the same class, name and parameter types as the caller, and
   * returns or throws what it does. A number is widened where the caller returns a wider primitive.
   */
  @SuppressWarnings("unchecked")
  public static synchronized <T> T call(Object[] arguments) {
    StackWalker.StackFrame stub = STACK.walk(frames -> frames.skip(1).findFirst().orElseThrow());
    String[] names = Driver.names(stub.getMethodType().parameterArray());
    if (gone) throw new Gone();
    int number = ++calls;
    Object value;
    try {
      Codec.Writer call = new Codec.Writer().tag('c').number(number);
      call.text(stub.getClassName()).text(stub.getMethodName()).value(names).value(arguments);
      value = answer(call, number);
    } catch (Gone | Codec.CannotCross | Codec.Malformed | OutOfMemoryError unanswered) {
      // Tests that expect an exception may catch it; after a malformed reply none can be told from another.
      if (unanswered instanceof Codec.Malformed) gone = true;
      if (thrownBy(unanswered) == null) failed(unanswered, 0);
      throw unanswered;
    }
    return (T) widened(value, stub.getMethodType().returnType());
  }

  private static Object answer(Codec.Writer call, int number) {
    Codec.Reader reply;
    try {
      channel.send(call);
      reply = channel.receive();
    } catch (IOException hostIsGone) {
      throw new Gone();
    }
    if (reply.tag() != 'R') {
      gone = true;
      throw new Gone();
    }
    if (reply.number() != number) throw new Codec.Malformed("an answer to another call");
    switch (reply.tag()) {
      case 'V': {
        Object value = reply.value();
        reply.end();
        return value;
      }
      case 'N': throw new Codec.CannotCross(reply.text());
      case 'X': {
        lastThrown = Thrown.read(reply);
        reply.end();
        throw Remote.<RuntimeException>unchecked(lastThrown.exception());
      }
      default: throw new Codec.Malformed("an answer of no kind");
    }
  }

  /** Checked exceptions pass as they would from the candidate itself. */
  @SuppressWarnings("unchecked")
  private static <E extends Throwable> E unchecked(Throwable exception) throws E {
    throw (E) exception;
  }

  private static Object widened(Object value, Class<?> type) {
    if (value == null || !type.isPrimitive() || type == void.class) return value;
    Object holder = Array.newInstance(type, 1);
    try {
      Array.set(holder, 0, value);
    } catch (IllegalArgumentException mismatch) {
      throw new ClassCastException(value.getClass().getName() + " cannot be cast to " + type.getName());
    }
    return Array.get(holder, 0);
  }
}
