from __future__ import annotations

import pytest

from sls_siem.config import CredentialsConfig, Secret
from sls_siem.errors import ConfigError, CredentialsRefusedError
from sls_siem.sls.credentials import AccessKeySource, Credentials, credential_source


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "credentials"
    folder.mkdir()
    store(folder, "sls-access-key-id", "id-1")
    store(folder, "sls-access-key-secret", "secret-1")
    return folder


@pytest.fixture
def source(tmp_path, folder):
    return AccessKeySource(CredentialsConfig(), environ={"RUNTIME_DIRECTORY": str(tmp_path)})


def store(folder, name, text):
    (folder / name).write_text(text)


def parts(credentials):
    token = credentials.token
    return (
        credentials.access_key_id.reveal(),
        credentials.access_key_secret.reveal(),
        None if token is None else token.reveal(),
    )


def test_finds_the_key_where_secrets_are_kept(source):
    assert parts(source.current()) == ("id-1", "secret-1", None)


def test_a_token_belongs_to_the_key_when_there_is_one(source, folder):
    store(folder, "sls-security-token", "token-1\n")

    assert parts(source.current()) == ("id-1", "secret-1", "token-1")


def test_the_configuration_may_name_files_of_its_own(tmp_path, folder):
    store(tmp_path, "mine", "id-of-mine")
    config = CredentialsConfig(access_key_id_file=str(tmp_path / "mine"))
    source = AccessKeySource(config, environ={"RUNTIME_DIRECTORY": str(tmp_path)})

    assert parts(source.current()) == ("id-of-mine", "secret-1", None)


def test_a_replaced_key_counts_after_a_reload(source, folder):
    source.current()
    store(folder, "sls-access-key-secret", "secret-2")
    before = parts(source.current())
    source.reload()

    assert (before, parts(source.current())) == (("id-1", "secret-1", None), ("id-1", "secret-2", None))


def test_a_replaced_key_counts_once_the_old_one_was_refused(source, folder):
    old = source.current()
    store(folder, "sls-access-key-secret", "secret-2")

    assert (source.refused(old), parts(source.current())) == (True, ("id-1", "secret-2", None))


def test_a_refused_key_that_is_still_the_same_is_not_worth_another_try(source):
    assert source.refused(source.current()) is False


def test_a_refusal_of_a_key_that_was_replaced_meanwhile_reads_nothing_anew(source, folder):
    old = source.current()
    store(folder, "sls-access-key-secret", "secret-2")
    source.reload()
    new = source.current()

    assert (source.refused(old), source.current() is new) == (True, True)


def test_a_key_taken_away_is_not_worth_another_try(source, folder):
    old = source.current()
    (folder / "sls-access-key-id").unlink()

    assert source.refused(old) is False


def test_a_missing_key_says_where_it_was_looked_for_and_what_to_do(tmp_path):
    environ = {"RUNTIME_DIRECTORY": str(tmp_path), "CREDENTIALS_DIRECTORY": "/run/credentials/x"}
    with pytest.raises(CredentialsRefusedError) as caught:
        AccessKeySource(CredentialsConfig(), environ=environ).current()
    text = str(caught.value)

    assert text == (
        "no access key for SLS: "
        f"sls-access-key-id not found, looked in {tmp_path}/credentials/sls-access-key-id, "
        "/run/credentials/x/sls-access-key-id, $SLS_AK_ID; "
        f"sls-access-key-secret not found, looked in {tmp_path}/credentials/sls-access-key-secret, "
        "/run/credentials/x/sls-access-key-secret, $SLS_AK_KEY. "
        "Store it in /etc/sls-siem/credentials/sls-access-key-id and /etc/sls-siem/credentials/sls-access-key-secret, "
        "then: systemctl reload 'sls-siem@*'"
    )


def test_a_named_file_that_is_missing_is_told_and_no_other_key_is_taken(tmp_path):
    files = CredentialsConfig(access_key_id_file=f"{tmp_path}/id")
    with pytest.raises(CredentialsRefusedError) as caught:
        AccessKeySource(files, environ={"SLS_AK_ID": "another", "SLS_AK_KEY": "k"}).current()

    assert str(caught.value) == (
        f"no access key for SLS: sls-access-key-id not found, {tmp_path}/id (sls.credentials.access_key_id_file) does "
        f"not exist. Store it in {tmp_path}/id, then: systemctl reload 'sls-siem@*'"
    )


def test_only_the_missing_half_is_named(source, folder):
    (folder / "sls-access-key-secret").write_text("none")
    with pytest.raises(CredentialsRefusedError) as caught:
        source.current()

    assert [f"{name} not found" in str(caught.value) for name in ("sls-access-key-id", "sls-access-key-secret")] == [
        False,
        True,
    ]


def test_a_key_stored_later_is_found_without_a_restart(source, folder):
    (folder / "sls-access-key-id").unlink()
    with pytest.raises(CredentialsRefusedError):
        source.current()
    store(folder, "sls-access-key-id", "id-2")

    assert parts(source.current())[0] == "id-2"


def test_a_key_is_never_shown():
    credentials = Credentials(Secret("AKID"), Secret("AKSECRET"), Secret("AKTOKEN"))

    assert (repr(credentials), credentials.hide("AccessKeyId not found: AKID")) == (
        "Credentials(access_key_id=***, access_key_secret=***, token=***)",
        "AccessKeyId not found: ***",
    )


def test_the_environment_of_the_process_counts_when_none_is_given(monkeypatch):
    monkeypatch.setenv("SLS_AK_ID", "id-e")
    monkeypatch.setenv("SLS_AK_KEY", "secret-e")

    assert parts(credential_source(CredentialsConfig()).current()) == ("id-e", "secret-e", None)


@pytest.mark.parametrize("url", ["http://100.100.100.200", "http://metadata.example.com:80", "https://127.0.0.1:1"])
def test_the_metadata_address_for_tests_is_on_loopback_or_refused(url):
    with pytest.raises(ConfigError, match="only an address on loopback"):
        credential_source(CredentialsConfig(source="ecs-ram-role"), environ={"SLS_SIEM_TEST_METADATA_URL": url})
