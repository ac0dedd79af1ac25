"""No URL, by whatever spelling, redirect or second answer, reaches a private network."""

from pathlib import Path

import pytest

from source import PDF, Site, fetch, refusal
from worker import networks
from worker.choices import SUFFIXES
from worker.settings import Settings

pytestmark = pytest.mark.skipif("csv" not in SUFFIXES, reason="written for MinerU 4, which tells CSV and HTML apart; same rooms")

#: Where clouds offer their machines metadata and keys, other than on link-local addresses; the last two in other forms.
METADATA = (
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "[fd00:ec2::254]",
    "[fd00:ec2::23]",
    "[fd20:ce::254]",
    "[fd00:42::42]",
    "[::ffff:168.63.129.16]",
    "[64:ff9b::a83f:8110]",
)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0x7f000001",
        "0x7f.0.0.1",
        "2130706433",
        "127.1",
        "0",
        "0.0.0.0",
        "user@127.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "0x7F000001",
        "127.0.1",
        "127.0x0.0x0.1",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[::ffff:7f00:1]",
        "[2001:0:7f00:1::]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b:1::7f00:1]",
        "example.com@127.0.0.1",
        "user:pass@[::1]",
        "017700000001",
        "127\u30020\u30020\u30021",
    ],
)
async def test_no_spelling_of_this_machine_reaches_it(site: Site, tmp_path: Path, host: str) -> None:
    site.answers["/report.pdf"] = PDF
    assert "file_url: host " in await refusal(tmp_path, Settings(), file_url=site.url(host=host))
    assert site.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.100.100.200",
        "100.64.0.1",
        "192.0.0.192",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "198.18.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::c0a8:101]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a00:1::1]",
        "[2002:a9fe:a9fe::]",
        "[2001:0:a00:1::f5ff:fffe]",
        "[2001:0:808:808::f5ff:fffe]",
        *METADATA,
    ],
)
async def test_a_private_address_is_refused_with_the_way_out_for_trusted_senders(tmp_path: Path, host: str) -> None:
    message = await refusal(tmp_path, Settings(), file_url=f"http://{host}:9000/report.pdf")
    assert f"host {host.strip('[]')} is on a private network" in message
    assert "MINERU_SOURCE_ALLOW_PRIVATE" in message


async def test_a_name_is_refused_without_telling_its_private_address(tmp_path: Path, names: dict[str, list[list[str]]]) -> None:
    names["intranet.test"] = [["10.11.12.13"]]
    message = await refusal(tmp_path, Settings(), file_url="https://intranet.test/report.pdf")
    assert "host intranet.test is on a private network" in message
    assert "10.11.12.13" not in message


@pytest.mark.usefixtures("pretend_public")
async def test_a_name_with_public_and_private_addresses_is_refused(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]]
) -> None:
    names["both.test"] = [["127.0.0.1", "127.0.0.2"]]
    assert "private network" in await refusal(tmp_path, Settings(), file_url=site.url(host="both.test"))
    assert site.asked == []


@pytest.mark.usefixtures("pretend_public")
@pytest.mark.parametrize("target", ["127.0.0.2", "169.254.169.254", "inside.test"])
async def test_a_redirect_to_a_private_network_is_refused(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]], target: str
) -> None:
    names["inside.test"] = [["127.0.0.2"]]
    site.give("/a", status=302, headers={"location": site.url("/secret", host=target)})
    assert f"host {target} is on a private network" in await refusal(tmp_path, Settings(), file_url=site.url("/a"))
    assert site.asked == ["127.0.0.1/a"]


@pytest.mark.usefixtures("pretend_public")
async def test_the_connection_goes_to_the_address_that_was_checked(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]]
) -> None:
    site.answers["/report.pdf"] = PDF
    names["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    await fetch(tmp_path, Settings(), file_url=site.url(host="rebinding.test"))
    assert site.asked == ["127.0.0.1/report.pdf"]
    assert names["rebinding.test"] == [["127.0.0.2"]]


@pytest.mark.usefixtures("pretend_public")
async def test_a_second_answer_for_a_name_is_checked_like_the_first(
    site: Site, tmp_path: Path, names: dict[str, list[list[str]]]
) -> None:
    names["rebinding.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    elsewhere = site.url("/secret", host="rebinding.test")
    site.give("/a", status=302, headers={"location": elsewhere, "connection": "close"})
    assert "private network" in await refusal(tmp_path, Settings(), file_url=site.url("/a", host="rebinding.test"))
    assert site.asked == ["127.0.0.1/a"]


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::a9fe:a9fe]", *METADATA])
async def test_cloud_metadata_is_refused_to_trusted_senders_too(tmp_path: Path, host: str) -> None:
    message = await refusal(tmp_path, file_url=f"http://{host}/latest/meta-data")
    assert f"host {host.strip('[]')} is on a reserved network" in message


@pytest.mark.parametrize("address", ["10.0.0.1", "100.64.0.1", "fd00::1", "::1", "::ffff:192.168.1.1"])
def test_trusted_senders_reach_private_networks(address: str) -> None:
    assert networks.TRUSTED.permits_address(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "168.63.129.15", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are_reached_in_each_of_their_forms(address: str) -> None:
    assert networks.PUBLIC.permits_address(address)


async def test_a_proxy_in_the_environment_is_not_asked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", site.url("", host="127.0.0.2"))
    site.answers["/report.pdf"] = PDF
    await fetch(tmp_path, file_url=site.url())
    assert site.asked == ["127.0.0.1/report.pdf"]
