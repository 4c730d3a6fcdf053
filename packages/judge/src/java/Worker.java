package flexjudge;

import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * The process that compiles and tests, one candidate after another. It never loads a class of a candidate's:
 * the tests run here, against stubs. The host sends C (compile), T (test), R (a candidate's reply) and G (the
 * candidate is gone), and gets r (ready), J (a jar), E (an error in the source), c (a call) and D (the tests
 * are done: how, and a line about it).
 */
public final class Worker {
  private static final int MAX_DETAIL = 500;
  /** Compiled before the host waits, because a cold compiler takes most of a second over anything. */
  private static final String FIRST =
      "import java.util.*; class First { static List<Integer> f(int x) { return List.of(x + 1); } }";
  /** How the tests of MBXP say that a value is not the expected one. */
  private static final String UNEQUAL = "(?s)Exception -- test case \\d+ did not pass.*";

  private final Channel host = new Channel();
  private final PrintStream own = System.err;
  /** Where tests print to: this process writes for as long as there is work, and its output is bounded. */
  private final PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
  private final MemoryCompiler compiler;
  private final MemoryCompiler testCompiler;

  private Worker(Path library, Path worker) throws IOException {
    compiler = new MemoryCompiler(List.of(library));
    testCompiler = new MemoryCompiler(List.of(library, worker));
    System.setOut(nowhere);
  }

  /** Arguments: the library that programs may use, and the jar of this class. */
  public static void main(String[] jars) throws IOException {
    Worker worker = new Worker(Path.of(jars[0]), Path.of(jars[1]));
    worker.compiler.compile(FIRST);
    worker.host.send(new Codec.Writer().tag('r'));
    try {
      for (;;) worker.serve(worker.host.receive());
    } catch (EOFException noMoreWork) {
      return;
    }
  }

  private void serve(Codec.Reader request) throws IOException {
    switch (request.tag()) {
      case 'C' -> host.send(compile(request.text()));
      case 'T' -> {
        Word word = test(request.text(), request.text());
        host.send(new Codec.Writer().tag('D').tag(word.kind).text(cut(word.detail)));
      }
      // The tests ended before they could learn that the candidate had.
      case 'G' -> {}
      default -> throw new IllegalStateException("a request of no kind");
    }
  }

  private Codec.Writer compile(String source) throws IOException {
    MemoryCompiler.Result result = compiler.compile(source);
    if (result.error() != null) return new Codec.Writer().tag('E').text(cut(result.error()));
    byte[] jar = MemoryCompiler.jar(result.classes());
    if (jar.length <= MemoryCompiler.MAX_CLASS_BYTES) return new Codec.Writer().tag('J').block(jar);
    return new Codec.Writer().tag('E').text("too many classes");
  }

  /**
   * How tests ended: p(assed), a(ssertion), x (exception), g(one), b(locked), u(nusable tests), m(emory of
   * the candidate's process full), f(ull here).
   */
  private record Word(char kind, String detail) {}

  private Word test(String mainClass, String source) {
    MemoryCompiler.Result result = testCompiler.compile(source);
    if (result.error() != null) return new Word('u', "the tests do not compile: " + result.error());
    Remote.reset(host);
    System.setErr(nowhere);
    try {
      Class<?> tests = new Loader(result.classes()).loadClass(mainClass);
      Method main = tests.getDeclaredMethod("main", String[].class);
      main.setAccessible(true);
      main.invoke(null, (Object) new String[0]);
      return Remote.lost() == null ? new Word('p', "") : word(Remote.lost(), source);
    } catch (InvocationTargetException ended) {
      return word(ended.getCause(), source);
    } catch (Error inInitializer) {
      return word(inInitializer, source);
    } catch (ReflectiveOperationException noMain) {
      return new Word('u', "the tests have no main method: " + noMain);
    } finally {
      System.setErr(own);
    }
  }

  private static Word word(Throwable cause, String source) {
    boolean inTests = cause instanceof ExceptionInInitializerError && Remote.thrownBy(cause) == null;
    Throwable end = inTests ? cause.getCause() : cause;
    Thrown candidates = Remote.thrownBy(end);
    if (end instanceof Remote.Gone) return new Word('g', "");
    boolean outOfMemory = end instanceof OutOfMemoryError;
    if (candidates != null) return new Word(outOfMemory ? 'm' : 'x', candidates.toString());
    if (outOfMemory) return new Word('f', "what it returned fills the memory of the tests");
    if (end instanceof Codec.Malformed) return new Word('b', "a malformed reply: " + end.getMessage());
    if (end instanceof Codec.CannotCross) return new Word('x', end.getMessage());
    if (end instanceof AssertionError) return new Word('a', "assertion failed: " + failedLine(end, source));
    boolean unequal = end.getClass() == Exception.class && String.valueOf(end.getMessage()).matches(UNEQUAL);
    return new Word(unequal ? 'a' : 'x', unequal ? end.getMessage() : end.toString());
  }

  /** The line of the tests where this was thrown, or its message. */
  private static String failedLine(Throwable thrown, String source) {
    if (thrown.getMessage() != null) return thrown.getMessage();
    for (StackTraceElement at : thrown.getStackTrace()) {
      String line = source.lines().skip(Math.max(0, at.getLineNumber() - 1)).findFirst().orElse("");
      if (MemoryCompiler.FILE.equals(at.getFileName())) return line.strip();
    }
    return thrown.toString();
  }

  private static String cut(String text) {
    return text.length() <= MAX_DETAIL ? text : text.substring(0, MAX_DETAIL);
  }

  private static final class Loader extends ClassLoader {
    private final Map<String, byte[]> classes;

    Loader(Map<String, byte[]> classes) {
      super(Worker.class.getClassLoader());
      this.classes = classes;
      setDefaultAssertionStatus(true);
    }

    @Override
    protected Class<?> findClass(String name) throws ClassNotFoundException {
      byte[] bytes = classes.get(name);
      if (bytes == null) throw new ClassNotFoundException(name);
      return defineClass(name, bytes, 0, bytes.length);
    }
  }
}
