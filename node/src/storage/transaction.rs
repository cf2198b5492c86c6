//! Transactions of the two writing threads. Their statements are prepared once: to parse `BEGIN` and `COMMIT` each time takes
//! as long as to write a row, and a lone message waits for one of each in two databases.

use std::ops::Deref;

use rusqlite::Connection;

/// A transaction under way; rolled back when dropped.
#[derive(Debug)]
pub(super) struct Transaction<'c> {
    connection: &'c Connection,
    is_open: bool,
}

impl<'c> Transaction<'c> {
    /// Begins one that writes.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn begin(connection: &'c mut Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Self { connection, is_open: true })
    }

    /// Keeps what was written.
    ///
    /// # Errors
    /// SQLite's; nothing is kept then.
    pub(super) fn commit(mut self) -> rusqlite::Result<()> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // SQLite has done so already after most failures.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_committed_stays() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (x)").unwrap();
        for (text, kept) in [("one", true), ("two", false), ("three", true)] {
            let transaction = Transaction::begin(&mut connection).unwrap();
            transaction.execute("INSERT INTO t VALUES (?1)", [text]).unwrap();
            if kept {
                transaction.commit().unwrap();
            }
        }
        let texts: String = connection.query_row("SELECT group_concat(x) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(texts, "one,three");
    }
}
