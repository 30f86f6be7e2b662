use super::*;

const DUMP: &str = "--
-- PostgreSQL database dump
--

\\restrict abc

SET statement_timeout = 0;

--
-- Name: touch(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.touch() RETURNS trigger
    LANGUAGE plpgsql
    AS $$begin
  return new;
end$$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: a; Type: b; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.\"a; Type: b\" (
    id integer NOT NULL,
    name text
);


--
-- Name: app; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA app;


--
-- PostgreSQL database dump complete
--

\\unrestrict abc
";

fn names(objects: &Objects) -> Vec<String> {
    objects.keys().map(|key| format!("{} {}.{}", key.kind, key.schema, key.name)).collect()
}

/// What is told of a dump with these objects beside an earlier one.
fn told(before: &[(&str, &str, &str)], after: &[(&str, &str, &str)]) -> Vec<String> {
    let dump = |objects: &[(&str, &str, &str)]| {
        let one = |(kind, name, text): &(&str, &str, &str)| {
            format!("--\n-- Name: {name}; Type: {kind}; Schema: public; Owner: me\n--\n\n{text}\n\n\n")
        };
        split(&objects.iter().map(one).collect::<String>())
    };
    let (before, after) = (dump(before), dump(after));
    changes(&before, &after).iter().map(Changed::not_restored).collect()
}

#[test]
fn a_dump_falls_into_its_objects() {
    let objects = split(DUMP);
    assert_eq!(names(&objects), ["FUNCTION public.touch()", "SCHEMA .app", "TABLE public.a; Type: b"]);
    let texts: Vec<&String> = objects.values().collect();
    assert!(texts[0].ends_with("end$$;\n"), "what is set for the next object is not of this one: {}", texts[0]);
    assert_eq!(texts[1], "CREATE SCHEMA app;\n");
    assert!(texts[2].starts_with("SET default_tablespace = '';\n"), "{}", texts[2]);
}

#[test]
fn columns_that_stand_in_another_order_make_no_other_table() {
    let one = ("TABLE", "t", "CREATE TABLE public.t (\n    a integer,\n    b text\n);");
    let other = ("TABLE", "t", "CREATE TABLE public.t (\n    b text,\n    a integer\n);");
    assert_eq!(told(&[one], &[other]), Vec::<String>::new());
}

#[test]
fn what_is_left_gone_or_otherwise_is_told_by_its_name() {
    let index = ("INDEX", "t_a", "CREATE INDEX t_a ON public.t USING btree (a);");
    let other = ("INDEX", "t_a", "CREATE INDEX t_a ON public.t USING btree (b);");
    assert_eq!(told(&[], &[index]), ["the downgrade leaves the index `public.t_a`"]);
    assert_eq!(told(&[index], &[]), ["the downgrade does not bring back the index `public.t_a`"]);
    assert_eq!(
        told(&[index], &[other]),
        [
            "the downgrade does not restore the index `public.t_a`: it was `CREATE INDEX t_a ON public.t USING btree (a);`, \
          it is `CREATE INDEX t_a ON public.t USING btree (b);`"
        ]
    );
    let comment = ("COMMENT", "TABLE t", "COMMENT ON TABLE public.t IS 'x';");
    assert_eq!(told(&[], &[comment]), ["the downgrade leaves the comment on the table `public.t`"]);
}

#[test]
fn what_hangs_on_a_table_goes_with_it() {
    let table = ("TABLE", "t", "CREATE TABLE public.t (\n    id integer NOT NULL\n);");
    let sequence = ("SEQUENCE", "t_id_seq", "CREATE SEQUENCE public.t_id_seq;");
    let owned = ("SEQUENCE OWNED BY", "t_id_seq", "ALTER SEQUENCE public.t_id_seq OWNED BY public.t.id;");
    let key = ("CONSTRAINT", "t t_pkey", "ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);");
    let of_another = ("INDEX", "t2_a", "CREATE INDEX t2_a ON public.t2 USING btree (a);");
    assert_eq!(
        told(&[], &[table, sequence, owned, key, of_another]),
        ["the downgrade leaves the index `public.t2_a`", "the downgrade leaves the table `public.t`"]
    );
}
