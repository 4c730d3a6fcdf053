package flexjudge;

import java.io.EOFException;
import java.io.IOException;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The candidate's process: says with an empty frame that it is ready, then answers calls of its static
 * methods, one frame each way. Nothing here is a secret or a guard: whatever a candidate does to it, it can
 * only give other answers.
 */
public final class Driver {
  private Driver() {}

  public static void main(String[] arguments) throws IOException {
    Channel host = new Channel();
    host.send(new Codec.Writer());
    try {
      for (;;) host.send(answer(host.receive()));
    } catch (EOFException noMoreCalls) {
      Runtime.getRuntime().halt(0);
    }
  }

  /** Strings are interned because those of the tests, in one program with the candidate, are literals. */
  private static Codec.Writer answer(Codec.Reader call) {
    call.interning();
    int number = call.number();
    try {
      Object result = invoke(call.text(), call.text(), (String[]) call.value(), (Object[]) call.value());
      return new Codec.Writer().number(number).tag('V').value(result);
    } catch (Codec.CannotCross reason) {
      return new Codec.Writer().number(number).tag('N').text(reason.what);
    } catch (Throwable thrown) {
      Codec.Writer reply = new Codec.Writer().number(number).tag('X');
      Thrown.write(reply, thrown);
      return reply;
    }
  }

  /** Calls the method with just these parameter types, else one that takes the arguments. */
  private static Object invoke(String type, String name, String[] parameters, Object[] arguments)
      throws Throwable {
    for (Method method : methods(type, name, parameters)) {
      try {
        method.setAccessible(true);
        return method.invoke(null, arguments);
      } catch (IllegalArgumentException otherTypes) {
        continue;
      } catch (InvocationTargetException thrown) {
        throw thrown.getCause();
      }
    }
    throw new NoSuchMethodError(type + "." + name);
  }

  private static List<Method> methods(String type, String name, String[] parameters) {
    List<Method> exact = new ArrayList<>();
    List<Method> others = new ArrayList<>();
    for (Class<?> in = classNamed(type); in != null; in = in.getSuperclass()) {
      for (Method method : in.getDeclaredMethods()) {
        if (!Modifier.isStatic(method.getModifiers()) || !method.getName().equals(name)) continue;
        String[] types = names(method.getParameterTypes());
        if (Arrays.equals(types, parameters)) exact.add(method);
        else if (types.length == parameters.length) others.add(method);
      }
    }
    exact.addAll(others);
    return exact;
  }

  static String[] names(Class<?>[] types) {
    String[] names = new String[types.length];
    for (int i = 0; i < names.length; i++) names[i] = types[i].getName();
    return names;
  }

  private static Class<?> classNamed(String name) {
    try {
      return Class.forName(name);
    } catch (ClassNotFoundException missing) {
      throw new NoClassDefFoundError(name);
    }
  }
}
