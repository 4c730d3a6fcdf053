package flexjudge;

import java.util.AbstractMap;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.LinkedList;
import java.util.List;
import java.util.Map;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.Stack;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.Vector;

/** Which of the JDK's collections a value is made of, as one letter, and a new one of that letter. */
final class Containers {
  private Containers() {}

  static char kindOf(List<?> list) {
    String name = list.getClass().getName();
    if (name.equals("java.util.Arrays$ArrayList")) return 'f';
    if (name.startsWith("java.util.ImmutableCollections$")) return 'I';
    if (isUnmodifiable(name)) return 'U';
    if (list instanceof LinkedList) return 'L';
    if (list instanceof Stack) return 'S';
    return list instanceof Vector ? 'V' : 'A';
  }

  static Object list(char kind, List<Object> elements) {
    return switch (kind) {
      case 'A' -> elements;
      case 'L' -> new LinkedList<>(elements);
      case 'V' -> new Vector<>(elements);
      case 'S' -> {
        Stack<Object> stack = new Stack<>();
        stack.addAll(elements);
        yield stack;
      }
      case 'f' -> Arrays.asList(elements.toArray());
      case 'I' -> elements.contains(null) ? Collections.unmodifiableList(elements) : List.copyOf(elements);
      case 'U' -> Collections.unmodifiableList(elements);
      default -> throw new Codec.Malformed("a list of kind " + (int) kind);
    };
  }

  static char kindOf(Set<?> set) {
    if (isUnmodifiable(set.getClass().getName())) return 'U';
    if (set instanceof SortedSet<?> sorted) return orderOf(sorted.comparator());
    return set instanceof HashSet && !(set instanceof LinkedHashSet) ? 'H' : 'L';
  }

  static Object set(char kind, List<Object> elements) {
    Set<Object> set = switch (kind) {
      case 'H' -> new HashSet<>();
      case 'T' -> new TreeSet<>();
      case 'R' -> new TreeSet<>(Collections.reverseOrder());
      case 'O' -> new TreeSet<>(new AsTheyCame());
      case 'L', 'U' -> new LinkedHashSet<>();
      default -> throw new Codec.Malformed("a set of kind " + (int) kind);
    };
    set.addAll(elements);
    return kind == 'U' ? Collections.unmodifiableSet(set) : set;
  }

  static char kindOf(Map<?, ?> map) {
    if (isUnmodifiable(map.getClass().getName())) return 'U';
    if (map instanceof SortedMap<?, ?> sorted) return orderOf(sorted.comparator());
    return map instanceof HashMap && !(map instanceof LinkedHashMap) ? 'H' : 'L';
  }

  static Map<Object, Object> newMap(char kind) {
    return switch (kind) {
      case 'H' -> new HashMap<>();
      case 'T' -> new TreeMap<>();
      case 'R' -> new TreeMap<>(Collections.reverseOrder());
      case 'O' -> new TreeMap<>(new AsTheyCame());
      case 'L', 'U' -> new LinkedHashMap<>();
      default -> throw new Codec.Malformed("a map of kind " + (int) kind);
    };
  }

  /** In the order in which they were first compared: what an order of the program's own crosses as. */
  private static final class AsTheyCame implements Comparator<Object> {
    private final Map<Object, Integer> places = new HashMap<>();

    @Override
    public int compare(Object one, Object other) {
      return Integer.compare(placeOf(one), placeOf(other));
    }

    private int placeOf(Object element) {
      Integer place = places.putIfAbsent(element, places.size());
      return place == null ? places.size() - 1 : place;
    }
  }

  /** Of what is neither list nor set; 0 where only its own order could make it. */
  static char kindOf(Collection<?> other) {
    if (other instanceof ArrayDeque) return 'D';
    if (!(other instanceof PriorityQueue<?> queue)) return 'C';
    char order = orderOf(queue.comparator());
    return order == 'O' ? 0 : order;
  }

  static Object collection(char kind, List<Object> elements) {
    if (kind == 'C') return Collections.unmodifiableCollection(elements);
    Collection<Object> made = switch (kind) {
      case 'D' -> new ArrayDeque<>();
      case 'T' -> new PriorityQueue<>();
      case 'R' -> new PriorityQueue<>(Collections.reverseOrder());
      default -> throw new Codec.Malformed("a collection of kind " + (int) kind);
    };
    made.addAll(elements);
    return made;
  }

  private static char orderOf(Comparator<?> comparator) {
    if (comparator == null || comparator.equals(Comparator.naturalOrder())) return 'T';
    return comparator.equals(Collections.reverseOrder()) ? 'R' : 'O';
  }

  private static boolean isUnmodifiable(String className) {
    return className.startsWith("java.util.ImmutableCollections$")
        || className.startsWith("java.util.Collections$Unmodifiable")
        || className.startsWith("java.util.Collections$Empty")
        || className.startsWith("java.util.Collections$Singleton")
        || className.startsWith("java.util.Collections$Copies");
  }

  static boolean isFixed(Map.Entry<?, ?> entry) {
    return entry instanceof AbstractMap.SimpleImmutableEntry
        || entry.getClass().getName().equals("java.util.KeyValueHolder");
  }
}
