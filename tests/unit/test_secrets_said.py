"""What programs say about a configuration stays of use, but for its secrets."""

from __future__ import annotations

import _dualstack_secrets_said as secrets_said
import pytest

NOTHING = secrets_said.of([])


def without(text: str, *configuration: str) -> str:
    """What a program said, without the secrets of a configuration."""
    return secrets_said.without(text, secrets_said.of(configuration))


@pytest.mark.parametrize(
    "line",
    [
        "stats auth admin:S3CRETword",
        "password: S3CRETword",
        "    password = S3CRETword   # it is",
        '{odbc_server, {mysql, "localhost", "ejabberd", "ejabberd", "S3CRETword"}}.',
        '{odbc_server,\n  {mysql, "localhost", "ejabberd",\n   "ejabberd", "S3CRETword"}}.',
        'http-request set-header Authorization "Basic S3CRETword"',
        "user x insecure-password S3CRETword",
        "AuthLDAPBindPassword S3CRETword",
        "SetEnv DB_PASS S3CRETword",
        "Environment=API_TOKEN=S3CRETword",
        "connect = host=localhost user=mail password=S3CRETword",
        "smtp_sasl_password_maps = static:user:S3CRETword",
        "set $api_key 'S3CRETword'; listen 80;",
        "proxy_pass http://user:S3CRETword@127.0.0.1:80;",
        "component_secret = [[S3CRETword]]",
        'auth.backend.ldap.bind-pw = "S3CRETword"',
        "Cookie: S3CRETword",
        "cookie SRV insert setcookie S3CRETword",
        "salt_string S3CRETword",
        "pin_salt = S3CRETword",
        "olcRootBindPW: S3CRETword",
        "bindpw S3CRETword",
        "api-key: S3CRETword",
        "access_key_id S3CRETword",
        "license_key S3CRETword",
        "kennwort: S3CRETword",
        "{SSHA}S3CRETword",
        "$6$salt$S3CRETword",
        "-----BEGIN PRIVATE KEY-----\nS3CRETword\n-----END PRIVATE KEY-----",
    ],
)
def test_a_secret_of_the_configuration_is_masked_wherever_it_appears(line: str) -> None:
    said = without("x.conf:3: unknown keyword 'S3CRETword' in S3CRETword", line)
    assert "S3CRET" not in said
    assert said.startswith("x.conf:3: unknown keyword '***")


def test_a_secret_is_known_however_a_program_writes_it() -> None:
    line = r'password = "a\"b c%d e"'
    for said in (r"a\"b c%d e", 'a"b c%d e', "a%22b%20c%25d%20e", "a%22b+c%25d+e", r"A\"B C%D E"):
        assert without(f"near {said}.", line) == "near ***."


def test_a_secret_need_not_be_utf_8() -> None:
    """In a configuration of 2011."""
    said = without("near p\udce4ssw\udcf6rd9x.", "password = p\udce4ssw\udcf6rd9x")
    assert said == "near ***."


def test_a_part_of_a_secret_is_masked() -> None:
    assert without("unexpected S3CRETwo", "password = S3CRETword2011") == "unexpected ***"
    assert without("line 12 near 'horse'", 'password "correct horse battery"') == "line 12 near '***'"


def test_a_short_secret_is_masked_as_a_word_of_its_own() -> None:
    assert without("abc: abcdef", "password abc") == "***: abcdef"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ssl_certificate_key /etc/ssl/private/x.key;", 'cannot load "/etc/ssl/private/x.key"'),
        ("auth_mechanisms = plain login", "imap-login: plain login is disabled"),
        ("fastcgi_pass unix:/run/php.sock;", "unix:/run/php.sock is not there"),
        ("# the password of the administrator\nlisten = *", "listen: unknown"),
        ("# give the password here, whatever happens", "whatever happens here"),
        ("passdb { # the password and so on", "it took 5 s and was killed"),
        ("password = on", "password is on"),
        ("listen 80;", 'nginx: [emerg] unknown directive "lissten" in /etc/nginx/nginx.conf:5'),
    ],
)
def test_what_is_no_secret_stays(line: str, said: str) -> None:
    assert without(said, line) == said


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("password=s3cret, port=80", "password=***, port=80"),
        ('"token": "a b"', '"token": ***'),
        ("Authorization: Basic YWRtaW46cHc=", "Authorization: Basic ***"),
        ("https://me:pw@example.org", "https://me:***@example.org"),
        ("-----BEGIN RSA PRIVATE KEY-----; MIIE; AAAA", "-----BEGIN RSA PRIVATE KEY-----; ***; ***"),
        ("unknown token at line 3", "unknown token at line 3"),
        ("started with --password s3cret9 --port 80", "started with --password *** --port 80"),
        ("API-Key: s3cret9", "API-Key: ***"),
        ("ACCESS_KEY=s3cret9 x", "ACCESS_KEY=*** x"),
        ("Cookie: session=s3cret9", "Cookie: ***"),
        ("got eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2Q", "got ***"),
        ("with ghp_16C7e42F292c6912E7710c838347Ae178B4a", "with ***"),
        ("by AKIAIOSFODNN7EXAMPLE", "by ***"),
    ],
)
def test_what_looks_like_a_secret_is_masked_anyway(said: str, expected: str) -> None:
    assert secrets_said.without(said, NOTHING) == expected


def test_what_a_plug_in_quotes_is_shown_as_in_a_diff() -> None:
    said = "/x:3: `Listen 0.0.0.0:80 s3cret` was left alone, 's3cret' isn't a port"
    assert (
        secrets_said.quoted(said, None, NOTHING) == "/x:3: `Listen 0.0.0.0:80 ***` was left alone, '***' isn't a port"
    )
