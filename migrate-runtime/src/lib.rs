//! Plans and runs migrations.
