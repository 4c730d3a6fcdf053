package flexjudge;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.regex.Pattern;

/**
 * The virtual machine's log of exceptions (-Xlog:exceptions=info), which has every one that is thrown, whoever
 * catches it. An error of the machine's own, such as a stack overflow, may leave a class of the JDK without
 * its static state for ever: a process that has seen one is no longer what it was.
 */
final class VmLog {
  /** More than this in one request is nothing usual either. */
  private static final int MAX_BYTES = 4 << 20;
  /**
   * How the machine logs an error that it throws itself; one that Java code throws is `thrown in` a method.
   * By the two that are not taken it says that a method it tried to link is not there. Begins with what is rare:
   * a log has a thousand exceptions of javac's own.
   */
  private static final Pattern ERROR = Pattern.compile(
      "Error'(?<=<a '[\\w/$]{1,200}')(?<!/NoSuch(?:Method|Field)Error')[^\\n]*\\n\\s*thrown \\[");

  private final Path path;

  /** Throws IllegalStateException where this machine's log does not tell of errors. */
  VmLog(Path path) throws IOException, InterruptedException {
    this.path = path;
    Thread overflowing = new Thread(null, VmLog::overflow, "overflow", 1 << 18);
    overflowing.start();
    overflowing.join();
    if (!takeErrors()) throw new IllegalStateException("the log of exceptions does not tell of errors");
  }

  /** Whether the machine threw an error since this was last asked. */
  boolean takeErrors() throws IOException {
    try (FileChannel log = FileChannel.open(path, StandardOpenOption.WRITE)) {
      long size = log.size();
      if (size == 0) return false;
      boolean found = size > MAX_BYTES || ERROR.matcher(Files.readString(path, ISO_8859_1)).find();
      log.truncate(0);
      return found;
    }
  }

  private static void overflow() {
    try {
      overflow();
    } catch (StackOverflowError expected) {
      return;
    }
  }
}
