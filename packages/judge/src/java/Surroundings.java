package flexjudge;

import java.io.PrintStream;
import java.util.Locale;
import java.util.Properties;
import java.util.TimeZone;

/** What of a process tests can change for those that come after them. */
record Surroundings(int threads, Properties properties, Locale locale, TimeZone zone, PrintStream error) {
  static Surroundings now() {
    Properties properties = (Properties) System.getProperties().clone();
    return new Surroundings(
        Thread.activeCount(), properties, Locale.getDefault(), TimeZone.getDefault(), System.err);
  }

  boolean areAsTheyWere() {
    return equals(now());
  }
}
