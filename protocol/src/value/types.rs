//! The table of structured-clone types that JSON lacks.

/// A structured-clone type that JSON lacks: a MessagePack extension, a tagged object in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExtensionType {
    /// The code of the MessagePack extension.
    pub code: i8,
    /// The `$type` in JSON.
    pub name: &'static str,
    /// The kind of the one value in its body.
    pub body: &'static str,
}

macro_rules! extension_types {
    ($( $code:literal $name:literal $body:literal )+) => {
        /// Every type, by rising code.
        pub const EXTENSION_TYPES: &[ExtensionType] =
            &[ $( ExtensionType { code: $code, name: $name, body: $body }, )+ ];
    };
}

extension_types! {
    1 "undefined" "nil"
    2 "Date" "milliseconds since 1970-01-01 UTC as a float; nil when invalid"
    3 "BigInt" "decimal digits as a string"
    4 "RegExp" "[source, flags]"
    5 "Map" "[[key, value], …]"
    6 "Set" "[value, …]"
    7 "Error" "{name, message, stack, …}"
    8 "Boolean" "the boolean of a Boolean object"
    9 "Number" "the number of a Number object"
    10 "String" "the string of a String object"
    11 "BigIntObject" "decimal digits as a string"
    12 "SparseArray" "{length, entries: [[index, value], …]}"
    13 "Graph" "{root, values: […]}: values that are shared or contain themselves"
    14 "Reference" "index into the values of the graph"
    15 "ArrayBuffer" "bin; a bare bin is a Uint8Array"
    16 "TypedArray" "[kind, bin], little-endian"
    17 "DataView" "bin"
    18 "Blob" "{type, bytes}"
    19 "File" "{name, type, last_modified, bytes}; last_modified in milliseconds, nil when unknown"
    20 "FileList" "[File, …]"
    21 "ImageData" "{width, height, color_space, bytes}"
    22 "ImageBitmap" "{width, height, bytes}"
    23 "DOMPoint" "[x, y, z, w]"
    24 "DOMPointReadOnly" "[x, y, z, w]"
    25 "DOMRect" "[x, y, width, height]"
    26 "DOMRectReadOnly" "[x, y, width, height]"
    27 "DOMQuad" "[p1, p2, p3, p4], each [x, y, z, w]"
    28 "DOMMatrix" "6 or 16 numbers"
    29 "DOMMatrixReadOnly" "6 or 16 numbers"
    30 "Utf16String" "bin, little-endian: a string with half a surrogate pair, which UTF-8 cannot hold"
}

/// The code of `Blob`.
pub(crate) const BLOB: i8 = 18;

/// The code of `File`.
pub(crate) const FILE: i8 = 19;

/// The type of a MessagePack extension code.
pub(crate) fn by_code(code: i8) -> Option<&'static ExtensionType> {
    // Codes count from 1, so the place is the code less one.
    let index = usize::try_from(code).ok()?.checked_sub(1)?;
    EXTENSION_TYPES.get(index)
}

/// The type of a `$type` name.
pub(crate) fn by_name(name: &str) -> Option<&'static ExtensionType> {
    EXTENSION_TYPES.iter().find(|known| known.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_code_and_by_its_name() {
        for known in EXTENSION_TYPES {
            assert_eq!(by_code(known.code), Some(known));
            assert_eq!(by_name(known.name), Some(known));
        }
        assert_eq!(by_name("Blob").map(|known| known.code), Some(BLOB));
        assert_eq!(by_name("File").map(|known| known.code), Some(FILE));
        for unknown in [i8::MIN, -1, 0, 31, i8::MAX] {
            assert_eq!(by_code(unknown), None);
        }
    }
}
