//! Settings that count, and those that do not fit together.
#![allow(clippy::unwrap_used, reason = "tests")]

use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Program {
    #[command(flatten)]
    oidc: OidcArgs,
}

const ISSUER: &str = "https://id.example.com";

fn parsed(arguments: &[&str]) -> Result<OidcArgs, clap::Error> {
    let all = ["program"].iter().chain(arguments);
    Program::try_parse_from(all).map(|program| program.oidc)
}

fn source(arguments: &[&str]) -> Result<Option<KeySource>, InvalidSetting> {
    parsed(arguments).unwrap().source("own", None, &Health::new())
}

#[test]
fn without_an_outside_issuer_there_is_none_and_no_part_of_one() {
    assert!(source(&[]).unwrap().is_none());
    for (flag, value) in [
        ("--oidc-audience", "api"),
        ("--oidc-jwks-url", "https://id.example.com/keys"),
        ("--oidc-user-claim", "uid"),
        ("--oidc-roles-claim", "roles"),
        ("--oidc-roles", "staff=support"),
    ] {
        let error = source(&[flag, value]).unwrap_err();
        let name = flag.trim_start_matches("--").replace('-', "_").to_uppercase();
        assert_eq!(error.to_string(), format!("OIDC_ISSUER is not set, and {name} is"));
    }
}

#[test]
fn an_outside_issuer_has_an_audience_and_another_name_than_our_own() {
    let base = ["--oidc-issuer", ISSUER, "--oidc-audience", "api"];
    assert!(source(&base).unwrap().is_some());
    for arguments in [&base[..2], &["--oidc-issuer", ISSUER, "--oidc-audience", ""]] {
        let error = source(arguments).unwrap_err();
        assert!(matches!(error, InvalidSetting::Missing("OIDC_AUDIENCE", _)), "{error}");
    }
    let own = parsed(&base).unwrap().source(ISSUER, None, &Health::new()).unwrap_err();
    assert!(matches!(own, InvalidSetting::Own));
    for half in [["--oidc-roles-claim", "roles"], ["--oidc-roles", "staff=support"]] {
        let error = source(&[&base[..], &half].concat()).unwrap_err();
        assert!(matches!(error, InvalidSetting::Missing(..)), "{error}");
    }
}

#[test]
fn a_setting_out_of_its_range_is_refused() {
    for (flag, value) in [
        ("--oidc-issuer", "http://id.example.com"),
        ("--oidc-jwks-url", "ftp://id.example.com"),
        ("--oidc-token-type", "id+jwt"),
        ("--oidc-roles-claim", ""),
        ("--oidc-max-age", "301"),
        ("--oidc-max-age", "59"),
        ("--oidc-stale-hours", "0"),
        ("--oidc-stale-hours", "721"),
    ] {
        assert!(parsed(&[flag, value]).is_err(), "{flag} {value}");
    }
}

#[test]
fn a_value_gives_the_roles_that_the_map_names_and_no_others() {
    let map: RoleMap = "staff=support, cn=root=admin,staff=user".parse().unwrap();
    assert_eq!(map.get("cn=root"), Some(&Grants::all()));
    let [_, support, user] = Role::seed().map(|role| role.grants);
    assert_eq!(map.get("staff"), Some(&support.or(&user)));
    for value in ["", "Staff", "root", "cn", "support", "admin"] {
        assert_eq!(map.get(value), None, "{value}");
    }
    for text in ["", "staff", "=admin", "staff=support,", ","] {
        assert!(matches!(text.parse::<RoleMap>(), Err(InvalidRoles::Form(_))), "{text}");
    }
    for text in ["staff=", "staff=root", "staff=Admin"] {
        assert!(matches!(text.parse::<RoleMap>(), Err(InvalidRoles::Role(_))), "{text}");
    }
}
