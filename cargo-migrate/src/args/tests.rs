use clap::CommandFactory;

use super::*;

fn read(line: &[&str]) -> Result<Cli, clap::Error> {
    parse(line.iter().map(OsString::from))
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
    command().debug_assert();
}

#[test]
fn cargo_s_form_and_the_plain_form_read_the_same() {
    for line in [&["cargo-migrate", "migrate", "heads"][..], &["cargo-migrate", "heads"]] {
        assert!(matches!(read(line).unwrap().command, Command::Heads(_)), "{line:?}");
    }
    assert!(read(&["cargo-migrate", "migrate", "migrate"]).is_err());
}

#[test]
fn usage_names_the_command_as_it_is_typed() {
    let help = read(&["cargo-migrate", "upgrade", "--help"]).unwrap_err().to_string();
    assert!(help.contains("Usage: cargo migrate upgrade"), "{help}");
}

#[test]
fn a_number_of_steps_is_a_target() {
    let Command::Downgrade(down) = read(&["cargo-migrate", "downgrade", "-1"]).unwrap().command else { panic!() };
    assert_eq!(down.target, "-1");
    let Command::Downgrade(down) = read(&["cargo-migrate", "down", "--dry-run", "-2"]).unwrap().command else {
        panic!()
    };
    assert!(down.dry_run && down.target == "-2");
    let Command::Downgrade(down) = read(&["cargo-migrate", "down", "-2", "--dry-run"]).unwrap().command else {
        panic!()
    };
    assert!(down.dry_run && down.target == "-2");
    let Command::Upgrade(up) = read(&["cargo-migrate", "upgrade", "+2"]).unwrap().command else { panic!() };
    assert_eq!(up.target, "+2");
    let Command::Upgrade(up) = read(&["cargo-migrate", "up"]).unwrap().command else { panic!() };
    assert_eq!(up.target, "head");
}

#[test]
fn a_mistyped_flag_is_not_a_target() {
    for line in [
        &["cargo-migrate", "upgrade", "--dryrun"][..],
        &["cargo-migrate", "downgrade", "-x"],
        &["cargo-migrate", "show", "--grph"],
    ] {
        assert!(read(line).is_err(), "{line:?}");
    }
}

#[test]
fn a_range_may_start_with_a_hyphen() {
    let Command::History(history) = read(&["cargo-migrate", "history", "-r", "-3:current"]).unwrap().command else {
        panic!()
    };
    assert_eq!(history.rev_range.as_deref(), Some("-3:current"));
}

#[test]
fn global_flags_stand_before_or_after_the_command() {
    for line in [
        &["cargo-migrate", "-vv", "-d", "dev", "--wait", "1.5", "status"][..],
        &["cargo-migrate", "status", "-vv", "-d", "dev", "--wait", "1.5"],
    ] {
        let global = read(line).unwrap().global;
        assert_eq!(
            (global.verbose, global.database.as_deref(), global.wait),
            (2, Some("dev"), Some(Duration::from_millis(1500)))
        );
    }
    assert!(read(&["cargo-migrate", "status", "--wait", "-1"]).is_err());
    assert!(read(&["cargo-migrate", "status", "--wait=NaN"]).is_err());
}

#[test]
fn packages_add_up_wherever_they_stand() {
    for line in [
        &["cargo-migrate", "-p", "shop", "upgrade", "--package=queue"][..],
        &["cargo-migrate", "upgrade", "-p", "shop", "-p", "queue"],
        &["cargo-migrate", "-p", "shop", "-p", "queue", "upgrade"],
    ] {
        assert_eq!(read(line).unwrap().global.package, ["shop", "queue"], "{line:?}");
    }
    let line = ["cargo-migrate", "--exclude", "a", "status", "--workspace", "--exclude", "b*"];
    let global = read(&line).unwrap().global;
    assert_eq!((global.workspace, global.exclude), (true, vec!["a".to_owned(), "b*".to_owned()]));
    assert!(read(&["cargo-migrate", "--workspace", "status"]).unwrap().global.workspace);
}

#[test]
fn the_help_of_a_command_lists_the_flags_that_add_up_once() {
    let help = read(&["cargo-migrate", "upgrade", "--help"]).unwrap_err().to_string();
    for flag in ["-p, --package <SPEC>", "--exclude <SPEC>", "--workspace"] {
        assert_eq!(help.matches(&format!("  {flag}")).count(), 1, "{help}");
    }
    let common = help.split("Common options:").nth(1).unwrap();
    let at = |flag: &str| common.find(flag).unwrap();
    assert!(at("--manifest-path") < at("--package") && at("--package") < at("--workspace"), "{help}");
    assert!(at("--workspace") < at("--exclude") && at("--exclude") < at("--database"), "{help}");
}

#[test]
fn repair_takes_at_most_one_side_and_a_revision_its_message_or_id() {
    assert!(read(&["cargo-migrate", "repair"]).is_ok());
    assert!(read(&["cargo-migrate", "repair", "--finished", "a", "--not-applied", "a"]).is_err());
    assert!(read(&["cargo-migrate", "repair", "--finished", "a"]).is_ok());
    assert!(read(&["cargo-migrate", "revision"]).is_err());
    assert!(read(&["cargo-migrate", "new", "--rev-id", "abc"]).is_ok());
}
