//! Looks whether the files of the store are there, and as they were written. The store itself begins a keyspace anew that has lost its
//! file `current`, and names no file that it cannot read.

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::error::DiskError;
use super::inventory::{Inventory, restore_journals};

/// The file that says which version of the store the files are for.
pub(super) const VERSION: &str = "version";
/// How it begins, and the version of fjall 3.
const MAGIC: &[u8] = b"FJL";
const FORMAT: u8 = 3;

/// The file of a keyspace that says which of its versions is the present one: its number, its checksum and the kind of that.
const CURRENT: &str = "current";
const CURRENT_BYTES: usize = 8 + 16 + 1;

/// Makes sure of what can be told at once: that the store is of this version, and has its journals and tables.
///
/// # Errors
/// When a file is missing, damaged, or cannot be read.
pub(super) fn check(directory: &Path, inventory: Option<&Inventory>) -> Result<(), DiskError> {
    check_version(directory)?;
    restore_journals(directory, inventory)?;
    // The store does not make it, and does not miss what was in it.
    let lock = directory.join("lock");
    let made = File::options().create(true).append(true).open(&lock);
    made.map_err(|source| DiskError::of(&lock, source))?;
    let Some(inventory) = inventory else {
        return Ok(());
    };
    for number in inventory.keyspaces() {
        let keyspace = directory.join("keyspaces").join(number.to_string());
        for table in tables_of(&keyspace)? {
            let found = fs::metadata(&table.path);
            found.map_err(|source| DiskError::of_needed(&table.path, source))?;
        }
    }
    Ok(())
}

/// Looks which file is the reason why the store cannot be opened, or has other records than it should: reads all of them.
pub(super) fn find_culprit(directory: &Path, inventory: Option<&Inventory>) -> Option<DiskError> {
    let found = (|| {
        try_all(directory)?;
        for number in inventory.into_iter().flat_map(Inventory::keyspaces) {
            let keyspace = directory.join("keyspaces").join(number.to_string());
            for table in tables_of(&keyspace)? {
                let checksum = checksum_of(&table.path);
                let checksum =
                    checksum.map_err(|source| DiskError::of_needed(&table.path, source))?;
                if checksum != table.checksum {
                    return Err(DiskError::Damaged { path: table.path });
                }
            }
        }
        Ok(())
    })();
    found.err()
}

fn check_version(directory: &Path) -> Result<(), DiskError> {
    let path = directory.join(VERSION);
    let version = fs::read(&path).map_err(|source| DiskError::of_needed(&path, source))?;
    match version.strip_prefix(MAGIC) {
        Some(&[FORMAT]) => Ok(()),
        Some(&[found]) => Err(DiskError::OtherVersion {
            path,
            found,
            known: FORMAT,
        }),
        _ => Err(DiskError::Damaged { path }),
    }
}

/// Opens every file as the store does.
fn try_all(directory: &Path) -> Result<(), DiskError> {
    let of_directory = |source| DiskError::of(directory, source);
    for entry in fs::read_dir(directory).map_err(of_directory)? {
        let path = entry.map_err(of_directory)?.path();
        if path.is_dir() {
            try_all(&path)?;
            continue;
        }
        let is_journal = path.extension().is_some_and(|ending| ending == "jnl");
        let opened = File::options().read(true).write(is_journal).open(&path);
        opened.map_err(|source| DiskError::of(&path, source))?;
    }
    Ok(())
}

/// A file of records in their order.
struct Table {
    path: PathBuf,
    checksum: u128,
}

/// The tables that a keyspace has at present.
fn tables_of(keyspace: &Path) -> Result<Vec<Table>, DiskError> {
    let current = keyspace.join(CURRENT);
    let damaged = |path: &Path| DiskError::Damaged {
        path: path.to_owned(),
    };
    let bytes = fs::read(&current).map_err(|source| DiskError::of_needed(&current, source))?;
    let (Some(number), Some(checksum)) = (bytes.first_chunk(), bytes.get(8..24)) else {
        return Err(damaged(&current));
    };
    if bytes.len() != CURRENT_BYTES || bytes.last() != Some(&0) {
        return Err(damaged(&current));
    }
    let version = keyspace.join(format!("v{}", u64::from_le_bytes(*number)));
    let listed = match fs::read(&version) {
        Ok(listed) => listed,
        // The number is wrong where there is another version.
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_version(keyspace) => {
            return Err(damaged(&current));
        }
        Err(source) => return Err(DiskError::of_needed(&version, source)),
    };
    if xxh3_128(&listed).to_le_bytes() != checksum {
        return Err(damaged(&version));
    }
    let tables = read_tables(&listed, &keyspace.join("tables"));
    tables.ok_or_else(|| damaged(&version))
}

fn has_version(keyspace: &Path) -> bool {
    let entries = fs::read_dir(keyspace).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name())
        .any(|name| name.to_str().is_some_and(|name| name.starts_with('v')))
}

/// Reads the list of tables: levels of runs of tables.
fn read_tables(version: &[u8], tables: &Path) -> Option<Vec<Table>> {
    let reader = sfa::Reader::from_reader(&mut Cursor::new(version)).ok()?;
    let section = reader.toc().section(b"tables")?;
    let mut list = version.get(usize::try_from(section.pos()).ok()?..)?;
    let mut found = Vec::new();
    for _ in 0..take::<1>(&mut list)?[0] {
        for _ in 0..take::<1>(&mut list)?[0] {
            for _ in 0..u32::from_le_bytes(take(&mut list)?) {
                let number = u64::from_le_bytes(take(&mut list)?);
                let _kind_of_checksum: [u8; 1] = take(&mut list)?;
                let checksum = u128::from_le_bytes(take(&mut list)?);
                let _global_number: [u8; 8] = take(&mut list)?;
                found.push(Table {
                    path: tables.join(number.to_string()),
                    checksum,
                });
            }
        }
    }
    Some(found)
}

fn take<const LENGTH: usize>(list: &mut impl Read) -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    list.read_exact(&mut bytes).ok()?;
    Some(bytes)
}

fn checksum_of(path: &Path) -> io::Result<u128> {
    let mut file = File::open(path)?;
    let mut hasher = Xxh3::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.digest128()),
            length => hasher.update(&piece[..length]),
        }
    }
}
