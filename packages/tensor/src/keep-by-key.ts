/**
 * A memory of what is made once for an owner and a key: the first call makes it, later ones give it again,
 * and it goes with its owner.
 */
export function keepByKey<Owner extends object, Key, Value>(): (
  owner: Owner,
  key: Key,
  make: () => Value,
) => Value {
  const kept = new WeakMap<Owner, Map<Key, Value>>();
  return (owner, key, make) => {
    let values = kept.get(owner);
    if (!values) {
      values = new Map();
      kept.set(owner, values);
    }
    const known = values.get(key);
    if (known !== undefined || values.has(key)) return known as Value;
    const made = make();
    values.set(key, made);
    return made;
  };
}
