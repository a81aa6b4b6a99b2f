use super::*;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/keys");

fn read(text: &str) -> Result<Profile, Error> {
    Profile::from_json(text)
}

fn refused(text: &str) -> String {
    let error = read(text).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("sesame"), "{shown}");
    error.to_string()
}

#[test]
fn a_profile_of_the_official_sdk_is_read() {
    let text = format!(
        r#"{{"account": "myorg-account123", "user": "LOADER", "role": "INGEST", "url": "https://myorg-account123.snowflakecomputing.com:443",
            "private_key_file": "{KEYS}/plain.p8", "authorization_type": "JWT", "ssl": "on", "max_append_request_size_mb": 4}}"#
    );
    let profile = read(&text).unwrap();
    assert_eq!(profile.account(), "myorg-account123");
    assert_eq!(profile.user(), Some("LOADER"));
    assert_eq!(profile.role(), Some("INGEST"));
    assert_eq!(profile.url(), Some("https://myorg-account123.snowflakecomputing.com:443"));
    assert_eq!(profile.ca_file(), None);
    assert!(format!("{:?}", profile.credentials()).contains("SHA256:"));
}

#[test]
fn paths_in_a_profile_file_are_relative_to_it() {
    let directory = std::env::temp_dir().join(format!("profile-{}", std::process::id()));
    fs::create_dir_all(directory.join("keys")).unwrap();
    fs::copy(format!("{KEYS}/aes256-sha256.p8"), directory.join("keys/rsa_key.p8")).unwrap();
    let path = directory.join("profile.json");
    fs::write(
        &path,
        "\u{feff}{\"account\": \"a\", \"user\": \"u\", \"private_key_file\": \"keys/rsa_key.p8\", \
         \"private_key_passphrase\": \"open sesame\", \"ca_file\": \"ca.pem\"}",
    )
    .unwrap();
    let profile = Profile::from_file(&path).unwrap();
    assert_eq!(profile.ca_file(), Some(directory.join("ca.pem").as_path()));
    assert!(!format!("{profile:?}").contains("sesame"));
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_key_may_be_in_the_profile_itself() {
    let pem = fs::read_to_string(format!("{KEYS}/plain.p8")).unwrap();
    let bare: String = pem.lines().filter(|line| !line.contains("-----")).collect();
    for key in [serde_json::to_string(&pem).unwrap(), format!("{bare:?}")] {
        read(&format!(r#"{{"account": "a", "user": "u", "private_key": {key}}}"#)).unwrap();
    }
}

#[test]
fn each_way_to_log_in_has_its_key() {
    for (text, kind) in [
        (r#"{"account": "a", "authorization_type": "pat", "personal_access_token": "x"}"#, "ProgrammaticAccessToken"),
        (r#"{"account": "a", "authorization_type": "OAUTH", "oauth_access_token": "x"}"#, "OAuth"),
        (r#"{"account": "a", "authorization_type": "TOKEN", "token": "a.b.c"}"#, "KeyPairJwt"),
    ] {
        let shown = format!("{:?}", read(text).unwrap().credentials());
        assert!(shown.contains(kind), "{shown}");
    }
}

#[test]
fn token_files_are_relative_to_the_profile_and_read_with_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "e30.eyJleHAiOjF9.c2ln").unwrap();
    let profile = folder.path().join("profile.json");
    let read = |text: &str| {
        fs::write(&profile, text).unwrap();
        Profile::from_file(&profile)
    };
    for (kind, key, shown) in [
        ("PAT", "token_file", "ProgrammaticAccessToken"),
        ("OAUTH", "token_file", "OAuth"),
        ("TOKEN", "token_file", "KeyPairJwt"),
        ("SPCS", "spcs_token_path", "OAuth"),
    ] {
        let with = |path: &str| format!(r#"{{"account": "a", "authorization_type": "{kind}", "{key}": "{path}"}}"#);
        let path = folder.path().join("token");
        let credentials = format!("{:?}", read(&with("token")).unwrap().credentials());
        assert!(credentials.contains(&format!("{shown}, path: \"{}\"", path.display())), "{credentials}");
        let error = read(&with("tokn")).unwrap_err().to_string();
        assert!(error.contains(&format!("{}/tokn cannot be read: ", folder.path().display())), "{error}");
        let error = read(&with("open-sesame-open-sesame-open")).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(&format!("the value of {key} is not the path")) && !shown.contains("sesame"), "{shown}");
    }
    let error = read(r#"{"account": "a", "authorization_type": "SPCS"}"#).unwrap_err().to_string();
    assert!(error.contains("the token file /snowflake/session/token cannot be read"), "{error}");
}

#[test]
fn a_key_that_is_given_twice_is_refused_by_its_name() {
    let pat = r#""authorization_type": "PAT", "personal_access_token": "x""#;
    for twice in
        [r#""account": "a", "account": "b""#, r#""account": "a", "account": "a""#, r#""account": null, "account": "a""#]
    {
        let shown = refused(&format!("{{{twice}, {pat}}}"));
        assert!(shown.contains("its key account is given twice; leave one out"), "{shown}");
    }
    let secret =
        r#"{"account": "a", "personal_access_token": "open-sesame", "personal_access_token": "open-sesame-2"}"#;
    assert!(refused(secret).contains("personal_access_token is given twice"));
    read(&format!(r#"{{"account": "a", {pat}, "max_retries": 1, "max_retries": 2}}"#)).unwrap();
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjE3MDB9.c2lnbmF0dXJl";
    let pat = r#""authorization_type": "PAT", "personal_access_token": "x""#;
    for text in [
        format!(r#"{{"account": "{token}", {pat}}}"#),
        format!(r#"{{"account": "a", "url": "{token}", {pat}}}"#),
        format!(r#"{{"account": "a", "host": "{token}", {pat}}}"#),
        format!(r#"{{"account": "a", "authorization_type": "{token}"}}"#),
        format!(r#"{{"account": "a", "{token}": "b", {pat}}}"#),
        format!(r#"{{"account": "a", "ca_file": "{token}", {pat}}}"#),
        format!(r#"{{"account": "a", "user": "u", "private_key_file": "{token}"}}"#),
    ] {
        let error = read(&text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("eyJhbGci") && !shown.contains("c2lnbmF0"), "{shown}");
    }
    let profile = read(&format!(r#"{{"account": "a", "role": "{token}", "user": "{token}", {pat}}}"#)).unwrap();
    assert!(!format!("{profile:?}").contains("eyJhbGci"), "{profile:?}");
    let error = Profile::from_file(token).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("eyJhbGci"), "{error}");
}

#[test]
fn an_oauth_client_is_read_with_its_issuer_or_its_endpoint() {
    let with = |more: &str| {
        read(&format!(
            r#"{{"account": "a", "authorization_type": "OAUTH", "oauth_client_id": "id", "oauth_client_secret": "open-sesame"{more}}}"#
        ))
    };
    for more in [
        r#", "oauth_issuer": "https://auth.example""#,
        r#", "oauth_token_endpoint": "https://auth.example/t""#,
        r#", "oauth_issuer": "http://127.0.0.1:1", "oauth_token_endpoint": "https://auth.example/t", "oauth_scope": "s"
           , "oauth_audience": "a""#,
    ] {
        let shown = format!("{:?}", with(more).unwrap());
        assert!(shown.contains("id: \"id\"") && !shown.contains("sesame"), "{shown}");
    }
    for (more, names) in [
        ("", "oauth_issuer or oauth_token_endpoint is missing"),
        (r#", "oauth_issuer": "http://auth.example""#, "the issuer"),
        (r#", "oauth_token_endpoint": "http://auth.example/t""#, "the token endpoint"),
        (r#", "oauth_refresh_token": "open-sesame""#, "refresh tokens are not supported"),
    ] {
        let error = with(more).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains(names) && !shown.contains("sesame"), "{shown}");
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    let lonely = r#"{"account": "a", "authorization_type": "OAUTH", "oauth_client_id": "id", "oauth_issuer": "https://a.example"}"#;
    assert!(refused(lonely).contains("oauth_client_secret or oauth_client_secret_file is missing"));
}

#[test]
fn an_oauth_client_sends_its_id_and_secret_as_the_profile_says() {
    let with = |more: &str| {
        read(&format!(
            r#"{{"account": "a", "authorization_type": "OAUTH", "oauth_client_id": "id", "oauth_client_secret": "open-sesame",
                "oauth_issuer": "https://auth.example"{more}}}"#
        ))
    };
    for (more, way) in [
        ("", "authentication: Basic,"),
        (r#", "oauth_client_authentication": "basic""#, "authentication: Basic,"),
        (r#", "oauth_client_authentication": "basic_unencoded""#, "authentication: BasicUnencoded,"),
        (r#", "oauth_client_authentication": "post""#, "authentication: Body,"),
    ] {
        let shown = format!("{:?}", with(more).unwrap());
        assert!(shown.contains(way), "{shown}");
    }
    let error = with(r#", "oauth_client_authentication": "private_key_jwt""#).unwrap_err().to_string();
    let expected = "oauth_client_authentication is \"private_key_jwt\", which is not known; \
                    use basic, basic_unencoded or post";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn the_secret_of_an_oauth_client_may_be_in_a_file_beside_the_profile() {
    let directory = tempfile::tempdir().unwrap();
    let profile = directory.path().join("profile.json");
    let text = |more: &str| {
        format!(
            r#"{{"account": "a", "authorization_type": "OAUTH", "oauth_client_id": "id", "oauth_issuer": "https://auth.example",
                "oauth_client_secret_file": "client-secret"{more}}}"#
        )
    };
    fs::write(&profile, text("")).unwrap();
    let error = Profile::from_file(&profile).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let path = directory.path().join("client-secret");
    assert!(error.to_string().contains(&format!("{} does not exist", path.display())), "{error}");
    fs::write(path, "open-sesame\n").unwrap();
    assert!(!format!("{:?}", Profile::from_file(&profile).unwrap()).contains("sesame"));
    let both = refused(&text(r#", "oauth_client_secret": "open-sesame""#));
    assert!(both.contains("both oauth_client_secret and oauth_client_secret_file are given"), "{both}");
}

#[test]
fn variables_make_a_profile_of_an_oauth_client_too() {
    let variables = |way: &'static str| {
        move |name: &str| {
            let value = match name {
                "SNOWFLAKE_ACCOUNT" => "a",
                "SNOWFLAKE_AUTHORIZATION_TYPE" => "OAUTH",
                "SNOWFLAKE_OAUTH_CLIENT_ID" => "id",
                "SNOWFLAKE_OAUTH_CLIENT_SECRET" => "open-sesame",
                "SNOWFLAKE_OAUTH_ISSUER" => "https://auth.example",
                "SNOWFLAKE_OAUTH_CLIENT_AUTHENTICATION" => way,
                _ => return None,
            };
            Some(value.into())
        }
    };
    let profile = Profile::from(Variables::new(&variables("post"))).unwrap();
    assert!(format!("{profile:?}").contains("authentication: Body,"));
    let error = Profile::from(Variables::new(&variables("odd"))).unwrap_err().to_string();
    assert!(error.contains("SNOWFLAKE_OAUTH_CLIENT_AUTHENTICATION is \"odd\""), "{error}");
}

#[test]
fn a_host_can_be_given_instead_of_a_url() {
    let with = |more: &str| {
        let text = format!(r#"{{"account": "a", "authorization_type": "PAT", "personal_access_token": "x", {more}}}"#);
        read(&text).map(|profile| profile.url().map(str::to_owned))
    };
    assert_eq!(with(r#""host": "h.example""#).unwrap().as_deref(), Some("https://h.example"));
    let local = with(r#""host": "127.0.0.1", "scheme": "http", "port": 8080"#).unwrap();
    assert_eq!(local.as_deref(), Some("http://127.0.0.1:8080"));
    let both = with(r#""host": "h.example", "scheme": "https", "port": 443, "url": "https://u.example""#).unwrap();
    assert_eq!(both.as_deref(), Some("https://u.example"));
    assert!(with(r#""url": "http://h.example""#).is_err());
    assert_eq!(with(r#""url": null"#).unwrap(), None);
}

#[test]
fn an_account_in_china_needs_no_url() {
    let text = r#"{"account": "abc.cn-northwest-1.aws", "authorization_type": "PAT", "personal_access_token": "x"}"#;
    let profile = read(text).unwrap();
    assert_eq!(profile.url(), None);
    crate::client::ClientBuilder::from_profile(&profile).unwrap().build().unwrap();
    let account = Account::parse(profile.account()).unwrap();
    assert_eq!(account.url().unwrap(), "https://abc.cn-northwest-1.aws.snowflakecomputing.cn");
}

#[test]
fn an_error_names_what_is_wrong_with_a_profile() {
    let pat = r#""authorization_type": "PAT", "personal_access_token": "open-sesame""#;
    for (text, names) in [
        (r#"{"user": "u"}"#.to_owned(), "account is missing"),
        (format!(r#"{{"account": "https://a.snowflakecomputing.com", {pat}}}"#), "is a URL"),
        (r#"{"account": "a"}"#.into(), "user is missing"),
        (r#"{"account": "a", "user": "u"}"#.into(), "private_key_file or private_key is missing"),
        (
            r#"{"account": "a", "user": "u", "private_key": "x", "private_key_file": "y"}"#.into(),
            "both private_key and",
        ),
        (r#"{"account": "a", "authorization_type": "PAT"}"#.into(), "personal_access_token or token_file is missing"),
        (r#"{"account": "a", "authorization_type": "TOKEN"}"#.into(), "token or token_file is missing"),
        (r#"{"account": "a", "authorization_type": "OAUTH"}"#.into(), "oauth_access_token"),
        (r#"{"account": "a", "authorization_type": "LDAP"}"#.into(), "\"LDAP\""),
        (format!(r#"{{"acount": "a", {pat}}}"#), "account may be meant"),
        (format!(r#"{{"account": "a", {pat}, "colour": "red"}}"#), "\"colour\" is not known"),
        (format!(r#"{{"account": "a", {pat}, "role": ["R"]}}"#), "role is not a text"),
        (r#"{"account": "a", "personal_access_token": "open-sesame"#.into(), "is not JSON (line 1"),
        (r#""open-sesame""#.into(), "is not a JSON object"),
        (r#"{"account": "a", "user": "u", "private_key_file": "no/such.p8"}"#.into(), "no/such.p8"),
    ] {
        let shown = refused(&text);
        assert!(shown.contains(names), "{names:?} is not in {shown}");
        assert!(shown.starts_with("could not read the profile"), "{shown}");
    }
}

#[test]
fn a_profile_file_that_cannot_be_read_is_named() {
    let error = Profile::from_file("no/such/profile.json").unwrap_err();
    assert!(error.to_string().contains("no/such/profile.json: there is no such file"), "{error}");
}

#[test]
fn variables_make_a_profile_too() {
    let key = format!("{KEYS}/plain.p8");
    let look_up = |name: &str| {
        let value = match name {
            "SNOWFLAKE_ACCOUNT" => "a",
            "SNOWFLAKE_USER" => "u",
            "SNOWFLAKE_PRIVATE_KEY_PATH" => &key,
            "SNOWFLAKE_ROLE" => "",
            "SNOWFLAKE_WAREHOUSE" => "w",
            _ => return None,
        };
        Some(value.into())
    };
    let profile = Profile::from(Variables::new(&look_up)).unwrap();
    assert_eq!((profile.user(), profile.role()), (Some("u"), None));
}

#[test]
fn an_error_names_the_variable_that_was_set() {
    let refused = |given: &[(&str, &str)]| {
        let look_up = |name: &str| {
            let given = given.iter().chain(&[("SNOWFLAKE_ACCOUNT", "a"), ("SNOWFLAKE_USER", "u")]);
            given.into_iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).into())
        };
        Profile::from(Variables::new(&look_up)).unwrap_err().to_string()
    };
    let shown = refused(&[("SNOWFLAKE_PRIVATE_KEY_PATH", "no/such.p8")]);
    assert!(shown.contains("no/such.p8") && shown.contains("SNOWFLAKE_PRIVATE_KEY_PATH"), "{shown}");
    let shown = refused(&[("SNOWFLAKE_PRIVATE_KEY_PATH", "no/such.p8"), ("SNOWFLAKE_PRIVATE_KEY", "MII")]);
    assert!(shown.contains("both SNOWFLAKE_PRIVATE_KEY and SNOWFLAKE_PRIVATE_KEY_PATH are given"), "{shown}");
    let shown = refused(&[("SNOWFLAKE_PRIVATE_KEY_PATH", "a.p8"), ("SNOWFLAKE_PRIVATE_KEY_FILE", "b.p8")]);
    assert!(shown.contains("SNOWFLAKE_PRIVATE_KEY_FILE and SNOWFLAKE_PRIVATE_KEY_PATH mean the same"), "{shown}");
    let token = [("SNOWFLAKE_AUTHORIZATION_TYPE", "PAT"), ("SNOWFLAKE_TOKEN_FILE_PATH", "sesame-sesame-sesame-sesame")];
    let shown = refused(&token);
    assert!(shown.contains("the value of SNOWFLAKE_TOKEN_FILE_PATH is not the path"), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn a_missing_variable_is_named() {
    let look_up = |name: &str| (name == "SNOWFLAKE_ACCOUNT").then(|| "a".into());
    let error = Profile::from(Variables::new(&look_up)).unwrap_err();
    assert!(error.to_string().contains("SNOWFLAKE_USER is missing"), "{error}");
}

#[test]
fn a_profile_in_utf_16_is_refused_with_what_to_save_it_as() {
    let path = std::env::temp_dir().join(format!("utf-16-profile-{}.json", std::process::id()));
    let text: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(&path, text).unwrap();
    let error = Profile::from_file(&path).unwrap_err().to_string();
    fs::remove_file(&path).unwrap();
    assert!(error.contains("it is not UTF-8 text; save it as UTF-8"), "{error}");
}

#[test]
fn a_missing_key_beside_another_credential_names_the_type_that_belongs_to_it() {
    for (key, kind) in [("personal_access_token", "PAT"), ("oauth_access_token", "OAUTH"), ("token", "TOKEN")] {
        let error = refused(&format!(r#"{{"account":"a-b","user":"U","{key}":"sesame"}}"#));
        assert!(error.contains(&format!("add it, or set authorization_type to {kind}, as {key} is given")), "{error}");
    }
    let error = refused(r#"{"account":"a-b","user":"U"}"#);
    assert!(error.contains("; add it"), "{error}");
}
