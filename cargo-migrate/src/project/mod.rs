//! What a project says about its migrations and databases.
