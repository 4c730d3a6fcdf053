package flexjudge;

import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * The process that compiles and tests, one candidate after another. It never loads a class of a candidate's:
 * the tests run here, against stubs. The host sends C (compile), T (test), R (a candidate's reply) and G (the
 * candidate is gone), and gets r (ready), J (a jar), E (an error in the source), c (a call), F (the first failure
 * of the tests: how, and a line about it; they go on) and D (the tests are done). After J, E and D stands whether
 * this process is still as it was: what is not `=` to it must be replaced.
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
  private final VmLog log;
  private final Surroundings surroundings;

  private Worker(Path library, Path worker, Path vmLog) throws IOException, InterruptedException {
    compiler = new MemoryCompiler(List.of(library));
    testCompiler = new MemoryCompiler(List.of(library, worker));
    System.setOut(nowhere);
    compiler.compile(FIRST);
    log = new VmLog(vmLog);
    surroundings = Surroundings.now();
  }

  /** Arguments: the library that programs may use, the jar of this class, and the machine's log. */
  public static void main(String[] paths) throws IOException, InterruptedException {
    Worker worker = new Worker(Path.of(paths[0]), Path.of(paths[1]), Path.of(paths[2]));
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
        test(request.text(), request.text());
        host.send(marked('D'));
      }
      // The tests ended before they could learn that the candidate had.
      case 'G' -> {}
      default -> throw new IllegalStateException("a request of no kind");
    }
  }

  private Codec.Writer compile(String source) throws IOException {
    MemoryCompiler.Result result = compiler.compile(source);
    if (result.error() != null) return marked('E').text(cut(result.error()));
    byte[] jar = MemoryCompiler.jar(result.classes());
    if (jar.length <= MemoryCompiler.MAX_CLASS_BYTES) return marked('J').block(jar);
    return marked('E').text("too many classes");
  }

  /** The beginning of an answer. */
  private Codec.Writer marked(char tag) throws IOException {
    boolean sawErrors = log.takeErrors();
    return new Codec.Writer().tag(tag).tag(sawErrors || !surroundings.areAsTheyWere() ? '!' : '=');
  }

  /**
   * How tests failed: a(ssertion), x (exception), g(one), b(locked), u(nusable tests), m(emory of the candidate's
   * process full), f(ull here).
   */
  private record Word(char kind, String detail) {}

  private void test(String mainClass, String source) throws IOException {
    Verdict verdict = new Verdict(source);
    MemoryCompiler.Result result = testCompiler.compile(source, SoftAssertions::soften);
    if (result.error() != null) {
      verdict.add(new Word('u', "the tests do not compile: " + result.error()));
      return;
    }
    Remote.reset(host, verdict);
    System.setErr(nowhere);
    try {
      Class<?> tests = new Loader(result.classes()).loadClass(mainClass);
      Method main = tests.getDeclaredMethod("main", String[].class);
      main.setAccessible(true);
      main.invoke(null, (Object) new String[0]);
    } catch (InvocationTargetException ended) {
      verdict.add(ended.getCause(), 0);
    } catch (Error inInitializer) {
      verdict.add(inInitializer, 0);
    } catch (ReflectiveOperationException noMain) {
      verdict.add(new Word('u', "the tests have no main method: " + noMain));
    } finally {
      System.setOut(nowhere);
      System.setErr(own);
    }
  }

  /** Tells the host of the first failure at once: it stands whatever becomes of the tests afterwards. */
  private final class Verdict implements Remote.Failures {
    private final String source;
    private boolean failed = false;

    Verdict(String source) {
      this.source = source;
    }

    @Override
    public synchronized void add(Throwable failure, int line) {
      if (!failed) add(word(failure, line, source));
    }

    void add(Word word) {
      failed = true;
      try {
        host.send(new Codec.Writer().tag('F').tag(word.kind).text(cut(word.detail)));
      } catch (IOException hostIsGone) {
        throw new UncheckedIOException(hostIsGone);
      }
    }
  }

  private static Word word(Throwable cause, int line, String source) {
    boolean inTests = cause instanceof ExceptionInInitializerError && Remote.thrownBy(cause) == null;
    Throwable end = inTests ? cause.getCause() : cause;
    Thrown candidates = Remote.thrownBy(end);
    if (end instanceof Remote.Gone) return new Word('g', "");
    boolean outOfMemory = end instanceof OutOfMemoryError;
    if (candidates != null) return new Word(outOfMemory ? 'm' : 'x', candidates.toString());
    if (outOfMemory) return new Word('f', "what it returned fills the memory of the tests");
    if (end instanceof Codec.Malformed) return new Word('b', "a malformed reply: " + end.getMessage());
    if (end instanceof Codec.CannotCross) return new Word('x', end.getMessage());
    if (end instanceof AssertionError) return new Word('a', "assertion failed: " + failedLine(end, line, source));
    boolean unequal = end.getClass() == Exception.class && String.valueOf(end.getMessage()).matches(UNEQUAL);
    return new Word(unequal ? 'a' : 'x', unequal ? end.getMessage() : end.toString());
  }

  /** The message, else the line of the tests with the check that failed, or where this was thrown. */
  private static String failedLine(Throwable thrown, int line, String source) {
    if (thrown.getMessage() != null) return thrown.getMessage();
    if (line > 0) return lineOf(source, line);
    for (StackTraceElement at : thrown.getStackTrace()) {
      if (MemoryCompiler.FILE.equals(at.getFileName())) return lineOf(source, at.getLineNumber());
    }
    return thrown.toString();
  }

  private static String lineOf(String source, int number) {
    return source.lines().skip(Math.max(0, number - 1)).findFirst().orElse("").strip();
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
