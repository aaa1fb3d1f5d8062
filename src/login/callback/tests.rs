use super::*;

#[test]
fn sec_dos_06_what_cannot_be_a_code_is_sent_to_nobody() {
    let parse = |code: &str| Parameters::parse(&format!("state=s&code={code}")).is_ok();
    for code in ["c%00d", "c%0D%0Ad", "c%7Fd", "%C3%A9", "%FF"] {
        assert!(!parse(code), "{code}");
    }
    assert!(parse("4%2F0A+b.~-_%7E"));
    assert!(parse(&"c".repeat(LONGEST_CODE)));
    assert!(!parse(&"c".repeat(LONGEST_CODE + 1)));
}

#[test]
fn sec_rp_06_07_08_parameters_that_contradict_are_refused() {
    for query in [
        "",
        "state=s",
        "code=&state=s",
        "code=c&state=",
        "code=c&error=e&state=s",
        "code=c&code=c&state=s",
        "state=s&code=c&state=s",
        "code=c&state=s&iss=a&iss=a",
        "code=c&state=s&access_token=t",
        "code=c&state=s&id_token=t",
    ] {
        assert!(Parameters::parse(query).is_err(), "{query}");
    }
    let good = Parameters::parse("code=c%2Bd&state=s&iss=i&session_state=x").unwrap();
    assert_eq!(good.code.as_deref(), Some("c+d"));
    assert_eq!(good.iss.as_deref(), Some("i"));
}
