"""Certificates, compared with what the library `cryptography` and openssl(1) say of them."""

from __future__ import annotations

import datetime
import hashlib
import random
from typing import Any

import _dualstack_service_probe_certificate as service_probe_certificate
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW = datetime.datetime(2026, 11, 27, 12)
DAY = datetime.timedelta(days=1)
KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "ec": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def made(
    *names: str,
    common: str = "cn.example.org",
    begin: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + DAY,
    key: str = "ec",
    old: bool = False,
) -> bytes:
    name = x509.Name(
        [x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Öffentlich")]
        + ([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)] if common else [])
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEYS[key].public_key())
    builder = builder.serial_number(1 << 100).not_valid_before(begin).not_valid_after(end)
    if not old:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if names:
        kinds: list[Any] = [x509.RFC822Name("a@example.org"), *map(x509.DNSName, names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
    signed = builder.sign(KEYS[key], None if key == "ed25519" else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


def facts(der: bytes, name: str = "") -> dict[str, Any]:
    return service_probe_certificate.facts(der, name, NOW)


@pytest.mark.parametrize("key", KEYS)
def test_the_key_is_what_others_say(key: str) -> None:
    public = (
        KEYS[key].public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert facts(made(key=key))["key"] == hashlib.sha256(public).hexdigest()


@pytest.mark.parametrize(
    ("names", "common", "seen"),
    [
        (["b.example.org", "*.A.example.org"], "cn.example.org", ["*.a.example.org", "b.example.org"]),
        ([], "cn.example.org", ["cn.example.org"]),
        ([], "", []),
    ],
)
def test_names(names: list[str], common: str, seen: list[str]) -> None:
    assert facts(made(*names, common=common))["names"] == seen
    assert facts(made(*names, common=common, old=True))["names"] == seen


@pytest.mark.parametrize(
    ("names", "name", "fits"),
    [
        (["shop.example.org"], "shop.example.org", True),
        (["shop.example.org"], "SHOP.example.org", True),
        (["shop.example.org"], "", True),
        (["shop.example.org"], "example.org", False),
        (["shop.example.org"], "cn.example.org", False),
        (["*.example.org"], "shop.example.org", True),
        (["*.example.org"], "example.org", False),
        (["*.example.org"], "a.shop.example.org", False),
        (["*.example.org"], "example", False),
        (["a.example.org", "b.example.org"], "b.example.org", True),
    ],
)
def test_it_fits(names: list[str], name: str, fits: bool) -> None:
    assert facts(made(*names), name)["fits"] is fits


@pytest.mark.parametrize(
    ("begin", "end", "fits", "expires"),
    [
        (NOW - DAY, NOW + DAY, True, "2026-11-28"),
        (NOW - 2 * DAY, NOW - DAY, False, "2026-11-26"),
        (NOW + DAY, NOW + 2 * DAY, False, "2026-11-29"),
        (datetime.datetime(1970, 1, 1), datetime.datetime(2099, 1, 1), True, "2099-01-01"),
    ],
)
def test_its_time(begin: datetime.datetime, end: datetime.datetime, fits: bool, expires: str) -> None:
    found = facts(made(begin=begin, end=end), "cn.example.org")
    assert (found["fits"], found["expires"]) == (fits, expires)


def test_broken_ones_are_no_bug() -> None:
    whole = made("shop.example.org")
    dice = random.Random(3)
    for _ in range(3000):
        broken = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        for _ in range(dice.randrange(4)):
            if broken:
                broken[dice.randrange(len(broken))] = dice.randrange(256)
        try:
            assert facts(bytes(broken))["key"]
        except ValueError:
            pass
