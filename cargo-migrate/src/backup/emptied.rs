//! What it takes to empty a server's database: the statements that drop what a role owns, and what stands in the way.
//!
//! What belongs to an extension, the extensions that are to stay and the schemas that they are in, `public`, and the
//! schema in which the version table is are left where they are.

use migrate_runtime::connection::DatabaseError;
use migrate_runtime::driver::postgres::text;
use postgres::Client;

use crate::live::server::{OWN_SCHEMAS, column, value};

/// From this number on things are not the server's own (`FirstNormalObjectId` in its sources). Access methods have no owner.
const FIRST_OWN: u32 = 16_384;

/// What of a database is emptied.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The one schema; all of them where none is named.
    pub schema: Option<String>,
    /// The extensions that stay.
    pub extensions: Vec<String>,
}

impl Scope {
    /// A query for the statements, in the order in which they are run.
    #[must_use]
    pub fn statements(&self) -> String {
        let whole = if self.schema.is_some() { "false" } else { "true" };
        format!(
            "WITH {common} \
             SELECT sql FROM ( \
             SELECT 1 AS rank, format('DROP EVENT TRIGGER IF EXISTS %I CASCADE', evtname) AS sql FROM pg_event_trigger AS o \
             WHERE {whole} AND {foreign_to_extensions_of_event} AND pg_has_role(evtowner, 'USAGE') \
             UNION ALL SELECT 1, format('DROP PUBLICATION IF EXISTS %I', pubname) FROM pg_publication \
             WHERE {whole} AND pg_has_role(pubowner, 'USAGE') \
             UNION ALL SELECT 2, format('DROP EXTENSION IF EXISTS %I CASCADE', extname) FROM pg_extension \
             WHERE {whole} AND oid NOT IN (SELECT oid FROM staying) \
             UNION ALL SELECT 3, format('DROP SCHEMA IF EXISTS %I CASCADE', nspname) FROM going \
             UNION ALL SELECT 4 + rank, format('DROP %s IF EXISTS %s CASCADE', \
             CASE WHEN classid = 'pg_proc'::regclass THEN 'ROUTINE' WHEN classid = 'pg_statistic_ext'::regclass THEN 'STATISTICS' \
             ELSE upper(o.type) END, o.identity) \
             FROM thing, pg_identify_object(classid, objid, 0) AS o \
             WHERE nsp NOT IN (SELECT oid FROM going) AND pg_has_role(owner, 'USAGE') \
             UNION ALL SELECT 9, format('DROP FOREIGN DATA WRAPPER IF EXISTS %I CASCADE', fdwname) FROM pg_foreign_data_wrapper AS o \
             WHERE {whole} AND {foreign_to_extensions_of_wrapper} AND pg_has_role(fdwowner, 'USAGE') \
             UNION ALL SELECT 8, format('DROP SERVER IF EXISTS %I CASCADE', srvname) FROM pg_foreign_server \
             WHERE {whole} AND pg_has_role(srvowner, 'USAGE') \
             UNION ALL SELECT 9, format('DROP ACCESS METHOD IF EXISTS %I CASCADE', amname) FROM pg_am AS o \
             WHERE {whole} AND oid >= {FIRST_OWN} AND {foreign_to_extensions_of_method} \
             AND (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
             UNION ALL SELECT 9, format('SELECT pg_catalog.lo_unlink(%s)', oid) FROM pg_largeobject_metadata \
             WHERE {whole} AND pg_has_role(lomowner, 'USAGE') \
             ) AS statement ORDER BY rank, sql",
            common = self.common(),
            foreign_to_extensions_of_event = no_extension("pg_event_trigger", "o.oid"),
            foreign_to_extensions_of_method = no_extension("pg_am", "o.oid"),
            foreign_to_extensions_of_wrapper = no_extension("pg_foreign_data_wrapper", "o.oid"),
        )
    }

    /// A query for the statements that take away what this role, and those that it may act for, have said about the
    /// privileges of whatever they make: what is made anew would get them, too. An archive of a whole database brings back
    /// those that it has; one of a single schema has not what was said for all schemas, which stays.
    pub(super) fn default_privileges(&self) -> String {
        let everywhere = if self.schema.is_some() { "false" } else { "true" };
        format!(
            "WITH {common}, said AS (SELECT d.*, nspname, \
             format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', pg_get_userbyid(defaclrole), ' IN SCHEMA ' || quote_ident(nspname)) AS alter, \
             CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' \
             WHEN 'n' THEN 'SCHEMAS' WHEN 'L' THEN 'LARGE OBJECTS' END AS things \
             FROM pg_default_acl AS d LEFT JOIN own ON own.oid = defaclnamespace \
             WHERE (own.oid IS NOT NULL OR defaclnamespace = 0 AND {everywhere}) AND pg_has_role(defaclrole, 'USAGE')) \
             SELECT sql FROM ( \
             SELECT 1 AS rank, format('%s REVOKE ALL ON %s FROM %s', alter, things, \
             CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS sql \
             FROM said, aclexplode(defaclacl) WHERE things IS NOT NULL \
             UNION SELECT 2, format('%s GRANT ALL ON %s TO %I%s', alter, things, pg_get_userbyid(defaclrole), \
             CASE WHEN defaclobjtype IN ('f', 'T') THEN ', PUBLIC' END) FROM said WHERE things IS NOT NULL AND defaclnamespace = 0 \
             ) AS statement ORDER BY rank, sql",
            common = self.common(),
        )
    }

    /// A query for the tables that are locked before anything of them is read or dropped.
    pub(super) fn locks(&self) -> String {
        format!(
            "WITH {} SELECT format('LOCK TABLE %s IN EXCLUSIVE MODE', objid::regclass) FROM thing JOIN pg_class AS c \
             ON classid = 'pg_class'::regclass AND c.oid = objid AND relkind IN ('r', 'p') ORDER BY objid",
            self.common()
        )
    }

    /// A query for one value that is another one as soon as something is made or dropped.
    pub(super) fn what_is_there(&self) -> String {
        let whole = if self.schema.is_some() { "false" } else { "true" };
        format!(
            "WITH {} SELECT format('%s %s', count(*), sum(hashtextextended(it, 0))) FROM ( \
             SELECT format('thing %s %s', classid, objid) AS it FROM thing UNION ALL SELECT format('schema %s', oid) FROM own \
             UNION ALL SELECT format('extension %s', oid) FROM pg_extension \
             UNION ALL SELECT format('large object %s', oid) FROM pg_largeobject_metadata WHERE {whole} \
             ) AS things",
            self.common()
        )
    }

    /// What is there and belongs to others, so that it cannot be dropped.
    pub(super) fn of_others(&self, client: &mut Client) -> Result<Vec<String>, DatabaseError> {
        column(
            client,
            &format!(
                "WITH {} SELECT format('%s %s, which is owned by %s', o.type, o.identity, pg_get_userbyid(owner)) \
                 FROM thing, pg_identify_object(classid, objid, 0) AS o WHERE NOT pg_has_role(owner, 'USAGE') \
                 ORDER BY 1 LIMIT 100",
                self.common()
            ),
        )
    }

    /// The other roles that own a part of it, and for which this one may not act.
    pub(super) fn other_owners(&self, client: &mut Client) -> Result<Vec<String>, DatabaseError> {
        column(
            client,
            &format!(
                "WITH {} SELECT DISTINCT pg_get_userbyid(owner) FROM thing WHERE NOT pg_has_role(owner, 'USAGE') ORDER BY 1",
                self.common()
            ),
        )
    }

    /// The schemas that stay.
    pub(super) fn staying(&self, client: &mut Client) -> Result<Vec<String>, DatabaseError> {
        column(
            client,
            &format!(
                "WITH {} SELECT nspname FROM pg_namespace WHERE oid NOT IN (SELECT oid FROM going)",
                self.common()
            ),
        )
    }

    /// The extensions that stay.
    pub(super) fn staying_extensions(&self, client: &mut Client) -> Result<Vec<String>, DatabaseError> {
        let common = self.common();
        column(
            client,
            &format!("WITH {common} SELECT extname FROM pg_extension WHERE oid IN (SELECT oid FROM staying)"),
        )
    }

    /// Whether there is anything to empty.
    pub(super) fn is_anything(&self, client: &mut Client) -> Result<bool, DatabaseError> {
        let all = [self.statements(), self.default_privileges()];
        let [things, privileges] = all.map(|query| format!("SELECT 1 FROM ({query}) AS s"));
        Ok(value(client, &format!("{things} UNION ALL {privileges} LIMIT 1"))?.is_some())
    }

    fn common(&self) -> String {
        let scope = self.schema.as_deref().map(|schema| format!("AND nspname = {}", text(schema))).unwrap_or_default();
        let extensions: Vec<String> = self.extensions.iter().map(|name| text(name)).collect();
        let named = if extensions.is_empty() { "NULL".to_owned() } else { extensions.join(", ") };
        let all = if self.schema.is_some() { "true OR" } else { "" };
        // One thing is a row: where it is listed, what it is, its schema, its owner, and in which order it goes.
        let mut things: Vec<String> = [
            ("pg_class", "relnamespace", "relowner", 0, "relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"),
            ("pg_proc", "pronamespace", "proowner", 1, "true"),
            ("pg_operator", "oprnamespace", "oprowner", 2, "true"),
            ("pg_opclass", "opcnamespace", "opcowner", 2, "true"),
            ("pg_opfamily", "opfnamespace", "opfowner", 2, "true"),
            ("pg_collation", "collnamespace", "collowner", 2, "true"),
            ("pg_conversion", "connamespace", "conowner", 2, "true"),
            ("pg_ts_config", "cfgnamespace", "cfgowner", 2, "true"),
            ("pg_ts_dict", "dictnamespace", "dictowner", 2, "true"),
            ("pg_statistic_ext", "stxnamespace", "stxowner", 2, "true"),
        ]
        .into_iter()
        .map(|(class, schema, owner, rank, only)| thing(class, schema, owner, rank, only))
        .collect();
        things.push(thing(
            "pg_type",
            "typnamespace",
            "typowner",
            3,
            "(typtype IN ('b', 'd', 'e', 'r') AND NOT EXISTS (SELECT FROM pg_type AS e WHERE e.typarray = x.oid) \
             OR typtype = 'c' AND EXISTS (SELECT FROM pg_class AS c WHERE c.oid = typrelid AND c.relkind = 'c'))",
        ));
        format!(
            "own AS (SELECT oid, nspname, nspowner FROM pg_namespace AS n WHERE {OWN_SCHEMAS} \
             AND {schema_of_none} {scope}), \
             staying AS (SELECT oid, extnamespace FROM pg_extension WHERE {all} extname = 'plpgsql' \
             OR extname IN ({named}) OR NOT pg_has_role(extowner, 'USAGE')), \
             going AS (SELECT oid, nspname FROM own WHERE nspname <> 'public' AND nspname IS DISTINCT FROM current_schema() \
             AND pg_has_role(nspowner, 'USAGE') AND oid NOT IN (SELECT extnamespace FROM staying)), \
             thing AS ({things})",
            schema_of_none = no_extension("pg_namespace", "n.oid"),
            things = things.join(" UNION ALL "),
        )
    }
}

/// The things that a catalog lists in the schemas of one's own, but for those that go with another one. That a part of a
/// thing goes with it, as the columns do that a table is partitioned by, says nothing of the thing.
fn thing(class: &str, schema: &str, owner: &str, rank: u8, only: &str) -> String {
    format!(
        "SELECT '{class}'::regclass::oid AS classid, x.oid AS objid, {schema} AS nsp, {owner} AS owner, {rank} AS rank \
         FROM {class} AS x WHERE {schema} IN (SELECT oid FROM own) AND {only} AND NOT EXISTS (SELECT FROM pg_depend AS d \
         WHERE d.classid = '{class}'::regclass AND d.objid = x.oid AND d.objsubid = 0 AND d.deptype IN ('e', 'i'))"
    )
}

fn no_extension(class: &str, oid: &str) -> String {
    format!(
        "NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = '{class}'::regclass AND d.objid = {oid} AND d.deptype = 'e')"
    )
}
