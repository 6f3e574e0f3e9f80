# `just` lists what there is; `just check` is all that CI runs.

_default:
    @just --list

# Everything that must hold before a change lands
check:
    .ci/run

# Unit tests and a part of the others, without browsers: what to run while working
quick:
    tests/run quick

# Formats the code, and shows what the linters say
lint:
    cargo fmt --all
    cargo clippy --workspace --all-targets -- -D warnings
    cd clients/js && npm run format

# The end-to-end tests, or those whose names contain the filter
e2e filter="":
    cargo build -p widecast
    cargo test -p widecast-tests {{ filter }}

# Every test, the other languages' clients and the Autobahn suite included
test *arguments:
    tests/run {{ arguments }}

# One fuzz target, until it finds something; those of the broker by `just fuzz token broker`
fuzz target crate="protocol":
    mkdir -p {{ crate }}/fuzz/corpus/{{ target }}
    cd {{ crate }} && RUSTC_BOOTSTRAP=1 cargo fuzz run {{ target }} fuzz/corpus/{{ target }} fuzz/seeds/{{ target }}

# The benchmarks beside the kernel's floor
bench *arguments:
    cargo run --release -p widecast-bench -- {{ arguments }}

# The documentation of the code
doc:
    cargo doc --workspace --no-deps --open
