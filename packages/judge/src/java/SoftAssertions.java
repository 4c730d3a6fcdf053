package flexjudge;

import com.sun.source.tree.AssertTree;
import com.sun.source.tree.AssignmentTree;
import com.sun.source.tree.BinaryTree;
import com.sun.source.tree.BlockTree;
import com.sun.source.tree.CatchTree;
import com.sun.source.tree.ClassTree;
import com.sun.source.tree.CompilationUnitTree;
import com.sun.source.tree.ExpressionTree;
import com.sun.source.tree.IfTree;
import com.sun.source.tree.InstanceOfTree;
import com.sun.source.tree.LambdaExpressionTree;
import com.sun.source.tree.MethodInvocationTree;
import com.sun.source.tree.MethodTree;
import com.sun.source.tree.ParenthesizedTree;
import com.sun.source.tree.StatementTree;
import com.sun.source.tree.ThrowTree;
import com.sun.source.tree.Tree;
import com.sun.source.tree.TryTree;
import com.sun.source.tree.UnaryTree;
import com.sun.source.util.SourcePositions;
import com.sun.source.util.TreePath;
import com.sun.source.util.TreePathScanner;
import com.sun.source.util.TreeScanner;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Rewrites tests so that they go on after a check that fails, which Remote keeps: what a candidate is asked may
 * depend on what it answered, never on whether that was right. Every line stays where it is.
 *
 * Soft become assertions, and `if (…) throw …;` in `main`; where an assertion's `&&` or `||` has calls of the
 * candidate on its right, both sides are evaluated. As they are stay checks in a `try` that may catch them or what
 * the candidate throws, and the tests' other control flow.
 */
final class SoftAssertions extends TreePathScanner<Void, Void> {
  private record Edit(int end, String text) {}

  private final String source;
  private final CompilationUnitTree unit;
  private final SourcePositions places;
  private final Set<String> asking;
  private final boolean hasCatches;
  private final Map<Integer, Edit> edits = new TreeMap<>();
  private int variables = 0;

  private SoftAssertions(String source, CompilationUnitTree unit, SourcePositions places) {
    this.source = source;
    this.unit = unit;
    this.places = places;
    this.asking = methodsThatAsk(unit);
    this.hasCatches = has(unit, CatchTree.class);
  }

  /** The tests' source, softened. */
  static String soften(String source, CompilationUnitTree unit, SourcePositions places) {
    SoftAssertions soft = new SoftAssertions(source, unit, places);
    soft.scan(unit, null);
    return soft.edited();
  }

  @Override
  public Void visitAssert(AssertTree check, Void nothing) {
    if (hasCatches && (!isInMain() || isTried())) return null;
    String condition = variable();
    String detail = check.getDetail() == null ? "" : " : " + textOf(check.getDetail());
    String text = evaluated(check.getCondition(), condition) + "assert " + condition + detail + "; ";
    replace(check, "try { " + text + "} catch (java.lang.Throwable flexT) { " + failed("flexT", check) + " }");
    return null;
  }

  @Override
  public Void visitIf(IfTree check, Void nothing) {
    StatementTree then = check.getThenStatement();
    if (then instanceof BlockTree block && block.getStatements().size() == 1) {
      then = block.getStatements().get(0);
    }
    boolean isCheck = then instanceof ThrowTree && check.getElseStatement() == null;
    if (!isCheck || !isInMain() || isTried() || bindsVariables(check.getCondition())) {
      return super.visitIf(check, nothing);
    }
    replace(then, failed(textOf(((ThrowTree) then).getExpression()), then));
    return null;
  }

  /** Statements that put a condition into a new variable, having evaluated all of it that asks the candidate. */
  private String evaluated(ExpressionTree condition, String variable) {
    ExpressionTree bare = condition;
    while (bare instanceof ParenthesizedTree inner) bare = inner.getExpression();
    if (bare instanceof UnaryTree not && bare.getKind() == Tree.Kind.LOGICAL_COMPLEMENT && asks(not)) {
      String inner = variable();
      return evaluated(not.getExpression(), inner) + "boolean " + variable + " = !" + inner + "; ";
    }
    boolean isAnd = bare.getKind() == Tree.Kind.CONDITIONAL_AND;
    boolean isOr = bare.getKind() == Tree.Kind.CONDITIONAL_OR;
    if (!(isAnd || isOr) || !(bare instanceof BinaryTree both) || !asks(both.getRightOperand())
        || source.substring(start(both), end(both)).contains("instanceof")) {
      return "boolean " + variable + " = " + textOf(condition) + "; ";
    }
    String left = variable();
    String right = variable();
    String inner = variable();
    return evaluated(both.getLeftOperand(), left)
        + "boolean " + right + " = false; try { "
        + evaluated(both.getRightOperand(), inner) + right + " = " + inner + "; "
        + "} catch (java.lang.Throwable flexT) { if (" + (isAnd ? "" : "!") + left + ") throw flexT; } "
        + "boolean " + variable + " = " + left + (isAnd ? " & " : " | ") + right + "; ";
  }

  /** Whether the nearest method around is `main`, with neither lambda nor class between. */
  private boolean isInMain() {
    for (TreePath at = getCurrentPath(); at != null; at = at.getParentPath()) {
      if (at.getLeaf() instanceof LambdaExpressionTree || at.getLeaf() instanceof ClassTree) return false;
      if (at.getLeaf() instanceof MethodTree method) return method.getName().contentEquals("main");
    }
    return false;
  }

  /** Whether it stands, in its method, in a `try` that takes exceptions. */
  private boolean isTried() {
    for (TreePath at = getCurrentPath(); !(at.getLeaf() instanceof MethodTree); at = at.getParentPath()) {
      if (at.getLeaf() instanceof TryTree attempt && !attempt.getCatches().isEmpty()) return true;
    }
    return false;
  }

  /** Whether what follows an `if` that throws may use a variable that the condition gives a value. */
  private static boolean bindsVariables(ExpressionTree condition) {
    return has(condition, AssignmentTree.class) || has(condition, InstanceOfTree.class);
  }

  /** The names of methods whose calls reach the candidate: the stub's, and of those that call them. */
  private static Set<String> methodsThatAsk(CompilationUnitTree unit) {
    Map<String, Set<String>> callees = new HashMap<>();
    new TreeScanner<Void, String>() {
      @Override
      public Void visitMethod(MethodTree method, String outer) {
        return super.visitMethod(method, method.getName().toString());
      }

      @Override
      public Void visitMethodInvocation(MethodInvocationTree call, String caller) {
        callees.computeIfAbsent(nameOf(call), name -> new HashSet<>());
        if (caller != null) callees.computeIfAbsent(caller, name -> new HashSet<>()).add(nameOf(call));
        return super.visitMethodInvocation(call, caller);
      }
    }.scan(unit, null);
    Set<String> asking = new HashSet<>();
    callees.forEach((name, called) -> {
      if (called.contains("flexjudge.Remote.call")) asking.add(lastPart(name));
    });
    boolean more = true;
    while (more) {
      more = false;
      for (Map.Entry<String, Set<String>> method : callees.entrySet()) {
        boolean asks = method.getValue().stream().anyMatch(name -> asking.contains(lastPart(name)));
        if (asks) more |= asking.add(method.getKey());
      }
    }
    return asking;
  }

  private static String nameOf(MethodInvocationTree call) {
    return call.getMethodSelect().toString();
  }

  private static String lastPart(String name) {
    return name.substring(name.lastIndexOf('.') + 1);
  }

  private boolean asks(Tree tree) {
    boolean[] found = {false};
    new TreeScanner<Void, Void>() {
      @Override
      public Void visitMethodInvocation(MethodInvocationTree call, Void nothing) {
        found[0] |= asking.contains(lastPart(nameOf(call)));
        return super.visitMethodInvocation(call, nothing);
      }
    }.scan(tree, null);
    return found[0];
  }

  private static boolean has(Tree tree, Class<? extends Tree> kind) {
    boolean[] found = {false};
    new TreeScanner<Void, Void>() {
      @Override
      public Void scan(Tree inner, Void nothing) {
        found[0] |= kind.isInstance(inner);
        return super.scan(inner, nothing);
      }
    }.scan(tree, null);
    return found[0];
  }

  private String variable() {
    return "flex" + ++variables;
  }

  private int start(Tree tree) {
    return (int) places.getStartPosition(unit, tree);
  }

  private int end(Tree tree) {
    return (int) places.getEndPosition(unit, tree);
  }

  private String textOf(Tree tree) {
    return source.substring(start(tree), end(tree));
  }

  private String failed(String exception, Tree check) {
    long line = unit.getLineMap().getLineNumber(start(check));
    return "flexjudge.Remote.failed(" + exception + ", " + line + ");";
  }

  /** Replaces a statement; what follows it stays on its line. */
  private void replace(Tree tree, String text) {
    int missing = lineBreaks(textOf(tree)) - lineBreaks(text);
    edits.put(start(tree), new Edit(end(tree), text + "\n".repeat(missing)));
  }

  private static int lineBreaks(String text) {
    return (int) text.chars().filter(unit -> unit == '\n').count();
  }

  private String edited() {
    StringBuilder text = new StringBuilder();
    int at = 0;
    for (Map.Entry<Integer, Edit> edit : edits.entrySet()) {
      text.append(source, at, edit.getKey()).append(edit.getValue().text());
      at = edit.getValue().end();
    }
    return text.append(source, at, source.length()).toString();
  }
}
