use super::*;

/// Each rule with texts that keep it and texts that break it.
fn check(rule: impl Fn(&str) -> Result<(), Error>, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(rule(text).is_ok(), "{text:?}: {}", rule(text).unwrap_err());
    }
    for text in bad {
        let error = rule(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{text:?}");
        let shown = error.to_string();
        assert!(
            shown.contains("must be") && (shown.contains("(by the ") || shown.contains("(a rule of this client")),
            "{shown}"
        );
        assert!(shown.ends_with("correct it; nothing was sent") && shown.len() < 500, "{shown}");
    }
}

#[test]
fn the_ids_of_tenants_and_clients_have_their_letters_and_lengths() {
    let (full, long) = ("a".repeat(255), "a".repeat(256));
    check(tenant_id, &["a", "Ab-9", "a_b", &full], &["", " a", "a.b", "a/b", "ä", "..", &long]);
    check(client_id, &["a", "Ab-9_", &full], &["", "a b", "a.b", "a=", &long]);
}

#[test]
fn space_around_an_id_is_shown_and_a_secret_in_its_place_is_not() {
    for (error, shown) in [
        (tenant_id(" my-tenant "), r#"the tenant id " my-tenant " is not valid"#),
        (client_id("till-7\n"), r#"the client id "till-7\n" is not valid"#),
        (tenant_id("my\u{202e}\u{1b}[31m"), r#"the tenant id "my\u{202e}\u{1b}[31m" is not valid"#),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(shown), "{error}");
    }
    let secret = "0123456789abcdef".repeat(4);
    for error in [tenant_id(&format!("{secret}\n")), client_id(&format!(" {secret}"))] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains("looks like a secret") && !error.contains("01234567"), "{error}");
    }
}

#[test]
fn a_secret_that_breaks_its_rule_is_not_shown() {
    assert!(client_secret(&"s".repeat(8)).is_ok() && client_secret(&"s".repeat(1024)).is_ok());
    for secret in ["", "sesame7", &"s".repeat(1025)] {
        let error = client_secret(secret).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("sesame") && !shown.contains("sss"), "{shown}");
    }
}

#[test]
fn time_retries_and_pages_have_their_bounds() {
    let seconds = Duration::from_secs;
    assert!(timeout(seconds(1)).is_ok() && timeout(seconds(300)).is_ok());
    for wrong in [Duration::ZERO, Duration::from_millis(999), seconds(301), Duration::MAX] {
        assert!(timeout(wrong).unwrap_err().to_string().contains("1 to 300 seconds"));
    }
    assert!(max_retries(0).is_ok() && max_retries(10).is_ok() && max_retries(11).is_err());
    assert!(page_size(1).is_ok() && page_size(1000).is_ok() && page_size(0).is_err() && page_size(1001).is_err());
}

#[test]
fn texts_are_measured_in_characters() {
    let (full, long) = ("é".repeat(255), "é".repeat(256));
    check(group_name, &["a", &full], &["", &long]);
    check(group_description, &["", &full], &[&long]);
    check(role_name, &["abc", &"é".repeat(256)], &["", "ab", &"é".repeat(257)]);
    check(alias, &["", &"é".repeat(256)], &[&"é".repeat(257)]);
}

#[test]
fn permissions_have_three_parts_and_built_in_roles_two() {
    let permissions = ["pos.receipt.read", "iam.custom-role.list-all", "a--.bb.cc", "abc.aaaaaaaaaaaaaaaa.bb"];
    let wrong = [
        "",
        "pos",
        "pos.receipt",
        "pos.receipt.read.all",
        "po.receipt.read",
        "poss.receipt.read",
        "pos.r.read",
        "pos.receipt.r",
        "Pos.receipt.read",
        "pos.receipt.READ",
        "pos.receipt.-read",
        "pos.rec_eipt.read",
        "pos.receipt.read7",
        "abc.aaaaaaaaaaaaaaaaa.bb",
        " pos.receipt.read",
    ];
    check(permission_id, &permissions, &wrong);
    let long = format!("iam.{}", "a".repeat(31));
    check(
        built_in_role_id,
        &["iam.viewer", "a-b.co-op"],
        &["", "iam", "iam.v", "ia.viewer", "iam.-viewer", "iam.a.b", &long],
    );
}

#[test]
fn custom_roles_are_known_by_their_beginning() {
    check(
        new_custom_role_id,
        &["custom.cashier", "custom.Store Manager"],
        &["", "custom", "custom.", "cashier", "custom.a\n", "custom.a/b"],
    );
    check(assigned_role_id, &["custom.cashier", "iam.viewer"], &["custom.", "cashier", "custom-roles/custom.cashier"]);
    assert!(is_custom("custom.x") && is_custom("cashier") && !is_custom("cus.tom") && !is_custom("iam.viewer"));
}

#[test]
fn resources_and_bindings_are_names_of_documents() {
    let long = "é".repeat(1501);
    let wrong = ["", ".", "..", "a/b", "__a__", "a__b__", "____", "a\tb", &long];
    check(resource_id, &["bu:001", "a", "a__b", "...", "___", &"é".repeat(1500)], &wrong);
    let one = |binding: &str| bindings(&[binding.to_owned()]);
    check(one, &["bu:001", "*"], &["", "a/b", ".."]);
    let many = |count: usize| bindings(&vec!["bu:001".to_owned(); count]);
    assert!(many(0).is_ok() && many(10).is_ok());
    assert!(many(11).unwrap_err().to_string().contains("the number of bindings \"11\""));
}

#[test]
fn ids_that_a_path_would_resolve_are_refused() {
    check(
        |id| path_id("group id", id),
        &["a", "a\\b", "a b", "a%2Fb", "...", "é"],
        &["", ".", "..", "a\nb", "a/b", "/"],
    );
}

#[test]
fn a_role_has_a_hundred_permissions_and_five_hundred_of_cash_registers() {
    let count = |pos: usize, others: usize| {
        let ids = ["pos.receipt.read"].repeat(pos).into_iter().chain(["iam.group.get"].repeat(others));
        permission_count(ids)
    };
    assert!(count(0, 0).is_ok() && count(500, 100).is_ok());
    assert!(count(501, 0).is_err() && count(0, 101).is_err());
    assert!(count(1, 101).unwrap_err().to_string().contains("\"101 and 1 of pos\""));
}

#[test]
fn attributes_have_their_number_and_lengths() {
    let long = ("k".repeat(41), "v".repeat(257));
    let of = |pairs: &[(&'static str, &'static str)]| attributes(pairs.iter().copied());
    assert!(of(&[]).is_ok() && of(&[("k", ""); 10]).is_ok());
    assert!(of(&[("k", ""); 11]).is_err() && of(&[("", "v")]).is_err());
    assert!(attributes([(&*long.0, "v")].into_iter()).is_err());
    assert!(attributes([("k", &*long.1)].into_iter()).is_err());
    assert!(attributes([(&long.0[..40], &long.1[..256])].into_iter()).is_ok());
}
