//! `upgrade --each`: the same migrations on many databases.

use std::num::NonZeroUsize;

use clap::Args;

/// Which databases, and how many of them at once.
#[derive(Clone, Debug, Default, Args)]
pub struct EachArgs {
    /// Upgrade every database that this pattern fits, such as 'tenants/*.db' or 'postgres://HOST/tenant_*'; may be
    /// repeated. 'postgres://HOST/DATABASE?schema=tenant_*' means schemas, env:VARIABLE a pattern in a variable
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["sql", "create"])]
    pub each: Vec<String>,
    /// With --each: so many databases at once; as many as the machine has processors if not given
    #[arg(long, value_name = "N", requires = "each")]
    pub jobs: Option<NonZeroUsize>,
    /// With --each: upgrade so many first, one after the other, and stop if one of them fails
    #[arg(long, value_name = "N", requires = "each")]
    pub canary: Option<NonZeroUsize>,
}
