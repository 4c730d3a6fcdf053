package flexjudge;

import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.util.JavacTask;
import com.sun.source.util.SourcePositions;
import com.sun.source.util.Trees;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.Writer;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import javax.tools.Diagnostic;
import javax.tools.DiagnosticListener;
import javax.tools.FileObject;
import javax.tools.ForwardingJavaFileManager;
import javax.tools.JavaCompiler;
import javax.tools.JavaFileObject;
import javax.tools.SimpleJavaFileObject;
import javax.tools.StandardJavaFileManager;
import javax.tools.StandardLocation;
import javax.tools.ToolProvider;

/**
 * javac in memory: no class file is written, no annotation processor runs, no other source is looked for.
 * As a program it compiles the files it is given and writes their classes, as one jar, to standard output.
 */
final class MemoryCompiler {
  /** Most bytes that the classes of one compilation may have together. */
  static final int MAX_CLASS_BYTES = 4 << 20;

  /** What stack traces call the file of every source. */
  static final String FILE = "Main.java";

  /** No table of names is handed from one compilation to the next. */
  private static final List<String> OPTIONS = List.of(
      "-proc:none", "-implicit:none", "-encoding", "UTF-8", "-nowarn", "-Xmaxerrs", "1",
      "-XDuseUnsharedTable=true");

  /** Either the classes by binary name, or the first error in one line. */
  record Result(Map<String, byte[]> classes, String error) {}

  private final JavaCompiler javac = ToolProvider.getSystemJavaCompiler();
  private final StandardJavaFileManager files = javac.getStandardFileManager(null, Locale.ROOT, null);

  /** Sources may use the classes of the JDK and of these jars, and no others. */
  MemoryCompiler(List<Path> jars) throws IOException {
    files.setLocationFromPaths(StandardLocation.CLASS_PATH, jars);
    files.setLocationFromPaths(StandardLocation.SOURCE_PATH, List.of());
  }

  /** Compiles one unit. Its public classes may have any names, as if each lay in a file of its own. */
  Result compile(String source) {
    return compile(List.of(new Source(source)));
  }

  /** Changes a source that has no error of syntax. */
  interface Rewriter {
    String rewrite(String source, CompilationUnitTree unit, SourcePositions places);
  }

  /** Compiles what becomes of a unit. */
  Result compile(String source, Rewriter rewriter) throws IOException {
    FirstError error = new FirstError();
    List<Source> unit = List.of(new Source(source));
    JavacTask task = (JavacTask) javac.getTask(Writer.nullWriter(), files, error, OPTIONS, null, unit);
    CompilationUnitTree tree = task.parse().iterator().next();
    if (error.line != null) return new Result(null, error.line);
    return compile(rewriter.rewrite(source, tree, Trees.instance(task).getSourcePositions()));
  }

  private Result compile(List<Source> sources) {
    FirstError error = new FirstError();
    Outputs outputs = new Outputs(files);
    try {
      boolean good = javac.getTask(Writer.nullWriter(), outputs, error, OPTIONS, null, sources).call();
      if (!good) return new Result(null, error.line == null ? "the compiler gave up" : error.line);
      return new Result(outputs.classes(), null);
    } catch (RuntimeException | Error failure) {
      // How javac ends on sources that are too deep or too large for it.
      return new Result(null, "the compiler gave up: " + failure.getClass().getName());
    }
  }

  /** A jar of these classes, not compressed. */
  static byte[] jar(Map<String, byte[]> classes) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      zip.setLevel(0);
      for (Map.Entry<String, byte[]> entry : classes.entrySet()) {
        zip.putNextEntry(new ZipEntry(entry.getKey().replace('.', '/') + ".class"));
        zip.write(entry.getValue());
      }
    }
    return bytes.toByteArray();
  }

  public static void main(String[] paths) throws IOException {
    List<Source> sources = new ArrayList<>();
    for (String path : paths) sources.add(new Source(Files.readString(Path.of(path))));
    Result result = new MemoryCompiler(List.of()).compile(sources);
    if (result.error != null) throw new IllegalArgumentException(result.error);
    new FileOutputStream(FileDescriptor.out).write(jar(result.classes));
  }

  private static final class Source extends SimpleJavaFileObject {
    private final String text;

    Source(String text) {
      super(URI.create("string:///" + FILE), Kind.SOURCE);
      this.text = text;
    }

    @Override
    public CharSequence getCharContent(boolean ignoreEncodingErrors) {
      return text;
    }

    @Override
    public boolean isNameCompatible(String simpleName, Kind kind) {
      return kind == Kind.SOURCE && !simpleName.equals("module-info");
    }
  }

  private static final class Outputs extends ForwardingJavaFileManager<StandardJavaFileManager> {
    private final Map<String, ByteArrayOutputStream> written = new LinkedHashMap<>();
    private int size = 0;

    Outputs(StandardJavaFileManager files) {
      super(files);
    }

    @Override
    public JavaFileObject getJavaFileForOutput(
        Location location, String name, JavaFileObject.Kind kind, FileObject sibling) {
      ByteArrayOutputStream bytes = new Bounded();
      written.put(name, bytes);
      return new SimpleJavaFileObject(URI.create("memory:///" + name.replace('.', '/')), kind) {
        @Override
        public OutputStream openOutputStream() {
          return bytes;
        }
      };
    }

    /** The standard manager outlives this compilation. */
    @Override
    public void close() {}

    Map<String, byte[]> classes() {
      Map<String, byte[]> classes = new LinkedHashMap<>();
      written.forEach((name, bytes) -> classes.put(name, bytes.toByteArray()));
      return classes;
    }

    private final class Bounded extends ByteArrayOutputStream {
      @Override
      public void write(byte[] bytes, int from, int count) {
        size += count;
        if (size > MAX_CLASS_BYTES) throw new IllegalStateException("too large");
        super.write(bytes, from, count);
      }
    }
  }

  private static final class FirstError implements DiagnosticListener<JavaFileObject> {
    String line = null;

    @Override
    public void report(Diagnostic<? extends JavaFileObject> found) {
      if (found.getKind() != Diagnostic.Kind.ERROR || line != null) return;
      line = "line " + found.getLineNumber() + ": " + found.getMessage(Locale.ROOT);
    }
  }
}
