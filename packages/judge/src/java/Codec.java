package flexjudge;

import java.io.ByteArrayOutputStream;
import java.lang.reflect.Array;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.AbstractMap;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;

/**
 * Plain data as bytes and back. A value is a tag and its content; containers carry their count first. Reading
 * makes plain classes of the JDK and javatuples, whatever the writer's classes were, and trusts no byte:
 * every count is checked against the bytes that are left, and depth and number of values are bounded.
 */
final class Codec {
  /** Most bytes of one message. */
  static final int MAX_BYTES = 8 << 20;
  /** Most values in one message; the elements of an array of primitives do not count. */
  static final int MAX_VALUES = 1 << 18;
  /** Most containers within containers. */
  static final int MAX_DEPTH = 100;
  /** Most bytes of a BigInteger: writing one out in decimals takes time quadratic in them. */
  static final int MAX_INTEGER_BYTES = 1 << 16;

  private static final String TOO_LONG = "more than " + MAX_BYTES + " bytes";
  private static final String TOO_MANY = "more than " + MAX_VALUES + " values";

  private static final List<String> TUPLES = List.of(
      "Unit", "Pair", "Triplet", "Quartet", "Quintet", "Sextet", "Septet", "Octet", "Ennead", "Decade");
  private static final String TUPLE_PACKAGE = "org.javatuples.";
  private static final List<String> PLAIN_PACKAGES = List.of("java.lang.", "java.util.", "java.math.");
  private static final int MAX_DIMENSIONS = 8;
  private static final ClassLoader LOADER = Codec.class.getClassLoader();

  private Codec() {}

  /** The value has no form as plain data; the message says which. */
  static final class CannotCross extends RuntimeException {
    final String what;

    CannotCross(String what) {
      super("cannot cross: " + what);
      this.what = what;
    }
  }

  /** Bytes that no writer makes. */
  static final class Malformed extends RuntimeException {
    Malformed(String what) {
      super(what);
    }
  }

  /** Builds one message. Without lambdas and streams, which would cost each candidate's process 20 ms. */
  static final class Writer {
    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    private int values = 0;

    byte[] toBytes() {
      return bytes.toByteArray();
    }

    Writer tag(char tag) {
      return raw(new byte[] {(byte) tag});
    }

    Writer number(int number) {
      return raw(ByteBuffer.allocate(4).putInt(number).array());
    }

    Writer bits(long bits) {
      return raw(ByteBuffer.allocate(8).putLong(bits).array());
    }

    /** UTF-16, lone surrogates and all. */
    Writer text(String text) {
      if (text.length() > MAX_BYTES / 2) throw new CannotCross(TOO_LONG);
      ByteBuffer chars = ByteBuffer.allocate(2 * text.length());
      chars.asCharBuffer().put(text);
      return number(text.length()).raw(chars.array());
    }

    Writer block(byte[] block) {
      return number(block.length).raw(block);
    }

    private Writer raw(byte[] added) {
      if (bytes.size() + added.length > MAX_BYTES) throw new CannotCross(TOO_LONG);
      bytes.writeBytes(added);
      return this;
    }

    Writer value(Object value) {
      return value(value, 0);
    }

    private Writer value(Object value, int depth) {
      if (depth > MAX_DEPTH) throw new CannotCross("values nested more than " + MAX_DEPTH + " deep");
      if (++values > MAX_VALUES) throw new CannotCross(TOO_MANY);
      if (value == null) return tag('0');
      if (value instanceof Boolean v) return tag(v ? '+' : '-');
      if (value instanceof Byte v) return tag('B').bits(v);
      if (value instanceof Short v) return tag('S').bits(v);
      if (value instanceof Character v) return tag('C').bits(v);
      if (value instanceof Integer v) return tag('I').bits(v);
      if (value instanceof Long v) return tag('J').bits(v);
      if (value instanceof Float v) return tag('F').bits(Float.floatToRawIntBits(v));
      if (value instanceof Double v) return tag('D').bits(Double.doubleToRawLongBits(v));
      if (value instanceof String v) return tag('s').text(v);
      if (value instanceof BigInteger v) return tag('N').integer(v);
      if (value instanceof BigDecimal v) return tag('M').number(v.scale()).integer(v.unscaledValue());
      if (value instanceof Optional<?> v) return tag('O').value(v.orElse(null), depth + 1);
      if (value instanceof OptionalInt v) return tag('i').value(v.isPresent() ? v.getAsInt() : null);
      if (value instanceof OptionalLong v) return tag('j').value(v.isPresent() ? v.getAsLong() : null);
      if (value instanceof OptionalDouble v) return tag('d').value(v.isPresent() ? v.getAsDouble() : null);
      if (value.getClass().isArray()) return array(value, depth);
      if (value instanceof List<?> v) return tag('L').tag(Containers.kindOf(v)).all(v, depth);
      if (value instanceof Set<?> v) return tag('H').tag(Containers.kindOf(v)).all(v, depth);
      if (value instanceof Map<?, ?> v) return map(v, depth);
      if (value instanceof Collection<?> v && Containers.kindOf(v) != 0) {
        return tag('Q').tag(Containers.kindOf(v)).all(v, depth);
      }
      if (value instanceof StringBuilder v) return tag('b').text(v.toString());
      if (value instanceof Map.Entry<?, ?> v) {
        tag('e').tag(Containers.isFixed(v) ? 'F' : 'M');
        return value(v.getKey(), depth + 1).value(v.getValue(), depth + 1);
      }
      // A lambda's own name has an address in it.
      String name = value.getClass().isHidden() ? "a lambda's class" : value.getClass().getName();
      if (isTuple(name)) {
        return tag('t').all((Iterable<?>) value, depth);
      }
      throw new CannotCross("a value of " + name);
    }

    private Writer integer(BigInteger value) {
      byte[] bytes = value.toByteArray();
      if (bytes.length <= MAX_INTEGER_BYTES) return block(bytes);
      throw new CannotCross("an integer of more than " + MAX_INTEGER_BYTES + " bytes");
    }

    /** The elements as they are iterated; a size that lies does not matter. */
    private Writer all(Iterable<?> elements, int depth) {
      List<Object> seen = new ArrayList<>();
      for (Object element : elements) add(seen, element);
      number(seen.size());
      for (Object element : seen) value(element, depth + 1);
      return this;
    }

    private Writer map(Map<?, ?> map, int depth) {
      List<Object> seen = new ArrayList<>();
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        add(seen, entry.getKey());
        add(seen, entry.getValue());
      }
      tag('m').tag(Containers.kindOf(map)).number(seen.size() / 2);
      for (Object part : seen) value(part, depth + 1);
      return this;
    }

    private static void add(List<Object> seen, Object element) {
      if (seen.size() >= MAX_VALUES) throw new CannotCross(TOO_MANY);
      seen.add(element);
    }

    private Writer array(Object array, int depth) {
      String name = array.getClass().getName();
      if (!isPlainArray(name)) {
        throw new CannotCross("an array of " + array.getClass().getComponentType().getName());
      }
      int length = Array.getLength(array);
      tag('[').text(name).number(length);
      if (!array.getClass().getComponentType().isPrimitive()) {
        for (Object element : (Object[]) array) value(element, depth + 1);
        return this;
      }
      int width = width(name.charAt(1));
      if ((long) length * width > MAX_BYTES) throw new CannotCross(TOO_LONG);
      ByteBuffer buffer = ByteBuffer.allocate(length * width);
      for (int i = 0; i < length; i++) {
        switch (name.charAt(1)) {
          case 'Z' -> buffer.put((byte) (Array.getBoolean(array, i) ? 1 : 0));
          case 'B' -> buffer.put(Array.getByte(array, i));
          case 'S' -> buffer.putShort(Array.getShort(array, i));
          case 'C' -> buffer.putChar(Array.getChar(array, i));
          case 'I' -> buffer.putInt(Array.getInt(array, i));
          case 'F' -> buffer.putInt(Float.floatToRawIntBits(Array.getFloat(array, i)));
          case 'D' -> buffer.putLong(Double.doubleToRawLongBits(Array.getDouble(array, i)));
          default -> buffer.putLong(Array.getLong(array, i));
        }
      }
      return raw(buffer.array());
    }
  }

  /** Takes one message apart; throws Malformed where it is none. */
  static final class Reader {
    private final ByteBuffer in;
    private boolean interning = false;
    private int values = 0;

    Reader(byte[] bytes) {
      this.in = ByteBuffer.wrap(bytes);
    }

    /** From here on equal strings are one object, and the same as an equal literal. */
    Reader interning() {
      interning = true;
      return this;
    }

    void end() {
      if (in.hasRemaining()) throw new Malformed("bytes after the end");
    }

    char tag() {
      return (char) need(1).get();
    }

    int number() {
      return need(4).getInt();
    }

    /** A number of things that take at least `width` bytes each. */
    int count(int width) {
      int count = number();
      if (count < 0 || (long) count * width > in.remaining()) throw new Malformed("a count of " + count);
      return count;
    }

    long bits() {
      return need(8).getLong();
    }

    String text() {
      char[] chars = new char[count(2)];
      in.asCharBuffer().get(chars);
      in.position(in.position() + 2 * chars.length);
      return new String(chars);
    }

    byte[] block() {
      byte[] block = new byte[count(1)];
      in.get(block);
      return block;
    }

    Object value() {
      try {
        return value(0);
      } catch (ClassCastException | NullPointerException | IllegalArgumentException e) {
        throw new Malformed("a value that cannot be: " + e.getClass().getName());
      } catch (ReflectiveOperationException e) {
        throw new Malformed("a value of no class here");
      }
    }

    private ByteBuffer need(int bytes) {
      if (in.remaining() < bytes) throw new Malformed("an early end");
      return in;
    }

    private Object value(int depth) throws ReflectiveOperationException {
      if (depth > MAX_DEPTH) throw new Malformed("too deep");
      if (++values > MAX_VALUES) throw new Malformed("too many values");
      char tag = tag();
      switch (tag) {
        case '0': return null;
        case '+': return true;
        case '-': return false;
        case 'B': return (byte) bits();
        case 'S': return (short) bits();
        case 'C': return (char) bits();
        case 'I': return (int) bits();
        case 'J': return bits();
        case 'F': return Float.intBitsToFloat((int) bits());
        case 'D': return Double.longBitsToDouble(bits());
        case 's': return interning ? text().intern() : text();
        case 'N': return integer();
        case 'M': {
          int scale = number();
          return new BigDecimal(integer(), scale);
        }
        case 'O': return Optional.ofNullable(value(depth + 1));
        case 'i': return value(depth + 1) instanceof Integer v ? OptionalInt.of(v) : OptionalInt.empty();
        case 'j': return value(depth + 1) instanceof Long v ? OptionalLong.of(v) : OptionalLong.empty();
        case 'd': return value(depth + 1) instanceof Double v ? OptionalDouble.of(v) : OptionalDouble.empty();
        case '[': return array(depth);
        case 'L': return Containers.list(tag(), all(depth));
        case 'H': return Containers.set(tag(), all(depth));
        case 'm': return map(tag(), depth);
        case 'Q': return Containers.collection(tag(), all(depth));
        case 'b': return new StringBuilder(text());
        case 'e': {
          boolean fixed = tag() == 'F';
          Object key = value(depth + 1);
          Object value = value(depth + 1);
          if (fixed) return new AbstractMap.SimpleImmutableEntry<>(key, value);
          return new AbstractMap.SimpleEntry<>(key, value);
        }
        case 't': return tuple(all(depth));
        default: throw new Malformed("the tag " + (int) tag);
      }
    }

    private BigInteger integer() {
      byte[] bytes = block();
      if (bytes.length > MAX_INTEGER_BYTES) throw new Malformed("an integer too large");
      return new BigInteger(bytes);
    }

    private List<Object> all(int depth) throws ReflectiveOperationException {
      int count = count(1);
      List<Object> elements = new ArrayList<>();
      for (int i = 0; i < count; i++) elements.add(value(depth + 1));
      return elements;
    }

    private Map<Object, Object> map(char kind, int depth) throws ReflectiveOperationException {
      Map<Object, Object> map = Containers.newMap(kind);
      int count = count(2);
      for (int i = 0; i < count; i++) {
        Object key = value(depth + 1);
        map.put(key, value(depth + 1));
      }
      return kind == 'U' ? Collections.unmodifiableMap(map) : map;
    }

    private Object tuple(List<Object> parts) throws ReflectiveOperationException {
      if (parts.isEmpty() || parts.size() > TUPLES.size()) throw new Malformed("a tuple of " + parts.size());
      Class<?>[] types = new Class<?>[parts.size()];
      Arrays.fill(types, Object.class);
      Class<?> tuple = Class.forName(TUPLE_PACKAGE + TUPLES.get(parts.size() - 1));
      return tuple.getConstructor(types).newInstance(parts.toArray());
    }

    private Object array(int depth) throws ReflectiveOperationException {
      String name = text();
      if (!isPlainArray(name)) throw new Malformed("an array of no plain class");
      ClassLoader loader = name.contains(TUPLE_PACKAGE) ? LOADER : null;
      Class<?> component = Class.forName(name, false, loader).getComponentType();
      int length = count(component.isPrimitive() ? width(name.charAt(1)) : 1);
      if (!component.isPrimitive() && length > MAX_VALUES) throw new Malformed("too many values");
      Object array = Array.newInstance(component, length);
      for (int i = 0; i < length; i++) {
        Array.set(array, i, component.isPrimitive() ? element(name.charAt(1)) : value(depth + 1));
      }
      return array;
    }

    private Object element(char type) {
      return switch (type) {
        case 'Z' -> in.get() != 0;
        case 'B' -> in.get();
        case 'S' -> in.getShort();
        case 'C' -> in.getChar();
        case 'I' -> in.getInt();
        case 'F' -> Float.intBitsToFloat(in.getInt());
        case 'D' -> Double.longBitsToDouble(in.getLong());
        default -> in.getLong();
      };
    }
  }

  /** Whether this names a class of java.lang, java.util or java.math itself. */
  static boolean isPlain(String className) {
    return PLAIN_PACKAGES.contains(className.substring(0, className.lastIndexOf('.') + 1));
  }

  private static boolean isTuple(String className) {
    String name = className.substring(className.lastIndexOf('.') + 1);
    return TUPLES.contains(name) && className.equals(TUPLE_PACKAGE + name);
  }

  private static boolean isPlainArray(String className) {
    int dimensions = className.lastIndexOf('[') + 1;
    if (dimensions < 1 || dimensions > MAX_DIMENSIONS) return false;
    String element = className.substring(dimensions);
    if (element.length() == 1) return "ZBSCIJFD".contains(element);
    if (!element.startsWith("L") || !element.endsWith(";")) return false;
    String name = element.substring(1, element.length() - 1);
    return isPlain(name) || isTuple(name);
  }

  private static int width(char primitive) {
    return switch (primitive) {
      case 'Z', 'B' -> 1;
      case 'S', 'C' -> 2;
      case 'I', 'F' -> 4;
      default -> 8;
    };
  }
}
