//! Users and access control lists, as clients meet them.
