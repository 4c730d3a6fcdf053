package flexjudge;

import java.lang.reflect.Constructor;

/**
 * What a candidate threw, as it crosses: the name of its class for people, the nearest class of java.lang or
 * java.util, and the message. The tester makes an exception of that class, and never loads any other.
 */
record Thrown(String name, Throwable exception) {
  private static final int MAX_MESSAGE = 1000;

  static void write(Codec.Writer out, Throwable thrown) {
    Class<?> plain = thrown.getClass();
    while (!Codec.isPlain(plain.getName())) plain = plain.getSuperclass();
    out.text(cut(thrown.getClass().getName())).text(plain.getName()).value(messageOf(thrown));
  }

  static Thrown read(Codec.Reader in) {
    String name = cut(in.text());
    String plain = in.text();
    Object message = in.value();
    if (!Codec.isPlain(plain) || !(message == null || message instanceof String)) {
      throw new Codec.Malformed("an exception that is none");
    }
    return new Thrown(name, make(plain, message == null ? null : cut((String) message)));
  }

  private static Throwable make(String plain, String message) {
    try {
      Class<?> type = Class.forName(plain, false, null);
      if (!Throwable.class.isAssignableFrom(type)) throw new Codec.Malformed("an exception that is none");
      if (message == null) return (Throwable) type.getConstructor().newInstance();
      for (Constructor<?> constructor : type.getConstructors()) {
        if (constructor.getParameterCount() != 1) continue;
        Class<?> parameter = constructor.getParameterTypes()[0];
        if (parameter == String.class || parameter == Object.class) {
          return (Throwable) constructor.newInstance(message);
        }
      }
    } catch (ReflectiveOperationException noSuchConstructor) {
      return new RuntimeException(plain + (message == null ? "" : ": " + message));
    }
    return new RuntimeException(plain + ": " + message);
  }

  /** Runs the candidate's code where it overrides getMessage, so anything may happen. */
  private static String messageOf(Throwable thrown) {
    try {
      String message = thrown.getMessage();
      return message == null ? null : cut(message);
    } catch (Throwable again) {
      return null;
    }
  }

  private static String cut(String text) {
    return text.length() <= MAX_MESSAGE ? text : text.substring(0, MAX_MESSAGE);
  }

  @Override
  public String toString() {
    String message = exception.getMessage();
    return message == null ? name : name + ": " + message;
  }
}
