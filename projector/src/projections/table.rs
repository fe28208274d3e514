//! What is known of the tables of a projection: for a rebuild, which makes them anew beside the live
//! ones and compares the two.

/// A table that belongs to one projection.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name, in whatever schema.
    pub name: &'static str,
    /// Columns that do not follow from the log, and are not compared.
    pub ignored: &'static [&'static str],
    /// Which of its rows are compared (SQL over its columns); all of them when empty.
    pub compared: &'static str,
    /// Indexes that no `apply` needs: built once the bulk of the rows is there.
    pub late: &'static [&'static str],
    /// Whether the next one begins with the rows of the live one, which do not follow from the log.
    pub seeded: bool,
    /// What goes over from the live table at the switch (SQL, in which `{live}` and `{next}` are the
    /// two): what does not follow from the log.
    pub carried: &'static [&'static str],
}

impl Table {
    /// A table all of which follows from the log.
    pub const fn named(name: &'static str) -> Self {
        Self { name, ignored: &[], compared: "", late: &[], seeded: false, carried: &[] }
    }

    /// Only these rows are compared.
    pub const fn comparing(self, compared: &'static str) -> Self {
        Self { compared, ..self }
    }

    /// These indexes are built late.
    pub const fn late(self, late: &'static [&'static str]) -> Self {
        Self { late, ..self }
    }
}
