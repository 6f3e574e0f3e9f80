/** The kinds of objects by the parts that structured clone copies with them. */

export const enum Kind {
  Object,
  Array,
  Map,
  Set,
  Error,
  /** A typed array or `DataView`. */
  View,
  /** An object that holds no other values, or cannot be cloned. */
  Single,
}

/** The name that an object goes by: that of its interface, after it has been cloned. */
export function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice(8, -1);
}

export function kindOf(value: unknown): Kind {
  if (Array.isArray(value)) return Kind.Array;
  if (ArrayBuffer.isView(value)) return Kind.View;
  return KINDS[tagOf(value)] ?? Kind.Single;
}

const KINDS: Record<string, Kind> = {
  Object: Kind.Object,
  Arguments: Kind.Object,
  Map: Kind.Map,
  Set: Kind.Set,
  Error: Kind.Error,
  DOMException: Kind.Error,
};

/** The values that a value holds. */
export function contents(value: unknown): unknown[] {
  switch (kindOf(value)) {
    case Kind.Object:
    case Kind.Array:
      return Object.values(value as object);
    case Kind.Map:
      return [...(value as Map<unknown, unknown>)].flat();
    case Kind.Set:
      return [...(value as Set<unknown>)];
    case Kind.Error:
      return Object.hasOwn(value as Error, "cause") ? [(value as Error).cause] : [];
    case Kind.View:
      return [(value as ArrayBufferView).buffer];
    default:
      return [];
  }
}
