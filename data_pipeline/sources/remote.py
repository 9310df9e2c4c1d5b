"""Files at s3://, gs://, http:// and https://: which there are, in which version, and what went wrong.

Keys and passwords come from the environment alone, as each service's own tools take them; an address with a user or a
password is refused. The query of one (`?...`, where signed addresses have their signature) is sent, and shown nowhere:
config.yaml has its names without their values, and says so to whoever runs it again.
"""

from __future__ import annotations

import difflib
import importlib
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from data_pipeline.sources.remote_stream import RemoteStream, Version, buffered, http_status, tried_again
from data_pipeline.sources.source import InputFile, Remote
from foundation.config.secrets import refuse_secrets
from foundation.errors import InputError, SettingError, require
from foundation.secrets import before_query, has_hidden_query, to_show
from foundation.text import number_of

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)
HTTP = ("http", "https")
# protocol -> package that fsspec needs for it, the project's extra that brings it, where its keys come from
NEEDS = {
    "s3": ("s3fs", "remote", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE or ~/.aws"),
    "gs": ("gcsfs", "gcs", "GOOGLE_APPLICATION_CREDENTIALS or `gcloud auth application-default login`"),
    "http": ("aiohttp", "remote", "~/.netrc"),
    "https": ("aiohttp", "remote", "~/.netrc"),
}
ENCODED = re.compile(r"[!-~]*%[0-9A-Fa-f]{2}[!-~]*")  # an address with codes, and nothing that needs more of them
MAGIC = re.compile(r"[*?[]")
KEYS = ("key", "username", "auth")  # of storage options, beside what any config may not hold
SIGNED = re.compile(r"paths\.\d+")  # keys of addresses
SHOWN = 5  # of the files that lie where a pattern matches none
AHEAD_BYTES = 64 << 10
CONNECT_S, SILENT_S = 30, 120  # without an answer; the whole of a file may take days

Options = dict[str, dict[str, Any]]  # by protocol


def is_remote(path: str) -> bool:
    """Return whether a path is an address."""
    return ADDRESS.match(path) is not None


def signed_keys(groups: str) -> re.Pattern[str]:
    """Return the full keys of addresses whose queries may hold a signature; a tag that is called `paths` is none.

    Args:
        groups: that have options of `corpus`, as a pattern.
    """
    return re.compile(rf"({groups})\.(sources\.[^.]+\.|(?!(.*\.)?tags\.).+\.)?paths(\.\d+)?")


def check_remote(paths: Sequence[str], options: Options | None) -> None:
    """Check the addresses among paths, and the options for them.

    Args:
        paths: local ones too.
        options: by protocol, arguments of its fsspec file system.
    Raises:
        ConfigError: an unknown protocol, a password or key in an address or in the options; its value is not repeated.
    """
    refuse_secrets(list(paths), "paths", signed=SIGNED)
    _check_queries(paths)
    refuse_secrets(options or {}, "storage_options")
    protocols = {_protocol(path) for path in paths if is_remote(path)}
    for protocol in sorted(protocols):
        require(
            protocol in NEEDS, "paths", f"{protocol}://", f"{', '.join(f'{known}://' for known in NEEDS)}, or a file"
        )
    for protocol, given in (options or {}).items():
        found = f"storage_options.{protocol}"
        if protocol not in protocols:
            there = ", ".join(sorted(protocols)) or "none, they are local"
            raise SettingError(f"{found}: no path begins with {protocol}:// (there are: {there}); leave it out")
        for name in given:
            if name in KEYS:
                keys = NEEDS[protocol][2]
                raise SettingError(f"{found}.{name}: is a secret, and a config is written to files; give it by {keys}")


def _check_queries(paths: Sequence[str]) -> None:
    for path in paths:
        if is_remote(path) and _protocol(path) in HTTP and "#" in path:
            raise SettingError(
                f"paths: {_shown(path)} is followed by a fragment (#...), which no server is sent; leave it out, or "
                "write %23 for a # in a name"
            )
        if has_hidden_query(path):
            raise SettingError(
                f"paths: of the query of {before_query(path)} only the names are left: a config is written to files, "
                "and what a query holds may be a signature; give the whole address again, as it was typed"
            )


def find_remote(patterns: Sequence[str], source: str, options: Options, key: str = "corpus") -> list[InputFile]:
    """Return the files of some addresses, each once.

    A file's name is its path below the folder that all of them share; with several buckets or hosts it begins with
    these, with several protocols with that. An address's query is no part of it.

    Args:
        patterns: addresses; those of buckets may be glob patterns (`*`, `?`, `[a-z]`, `**` for any depth).
        source: the source's name, for error messages.
        options: as of `check_remote`.
        key: of the source in the config, for error messages.
    Raises:
        InputError: a pattern matches nothing, access is denied, a package is missing.
    """
    found: dict[str, RemoteFile] = {}
    for pattern in patterns:
        asked = f"{key}.paths: {_shown(pattern)!r} of source {source!r}"
        found |= {file.url: file for file in _matching(pattern, asked, options.get(_protocol(pattern), {}))}
    parts = [_parts(url) for url in found]
    folders = zip(*(each[:-1] for each in parts), strict=False)  # as far as the shortest goes
    shared = sum(1 for _ in itertools.takewhile(lambda same: len(set(same)) == 1, folders))
    named = ["/".join(each[shared:]) for each in parts]
    return [InputFile(name, None, file.size or 0, file) for name, file in zip(named, found.values(), strict=True)]


@dataclass(frozen=True, slots=True)
class RemoteFile(Remote):
    """A file that fsspec reads.

    Attributes:
        url: its whole address; never shown.
        where: what is shown of it.
        options: of its file system.
        size: in bytes; None where its server does not tell.
        version: what its server calls its version, empty where it does not.
    """

    url: str = field(repr=False)
    where: str
    options: dict[str, Any] = field(repr=False)
    size: int | None
    version: str

    def state(self, again: bool = False) -> list[Any]:
        if not again:
            return [self.size, self.version]
        try:
            files = _file_system(self.url, self.options, self.where)
            info = tried_again(lambda: files.info(self.url), self.where)
        except Exception as error:  # of fsspec, or of any of the packages below it
            raise explained(error, self.url, self.where) from error
        return [info.get("size"), _version(info)]

    def open(self) -> BinaryIO:
        return buffered(
            RemoteStream(self.where, Version(self.size, self.version), self._open_at, self._changed, self._told)
        )

    def _changed(self) -> bool:
        return self.state(again=True) != self.state()

    def _told(self, error: Exception) -> InputError:
        return explained(error, self.url, self.where)

    def _open_at(self, offset: int) -> Any:
        """Return a stream of fsspec's that begins at a byte: one long answer of HTTP, ranges of blocks elsewhere."""
        files = _file_system(self.url, self.options, self.where)
        if _protocol(self.url) not in HTTP:
            stream = files.open(self.url, "rb", block_size=8 << 20, cache_type="readahead")
            stream.seek(offset)
            return stream
        headers = {"Accept-Encoding": "identity"}  # the bytes as they are stored
        if offset:
            headers["Range"] = f"bytes={offset}-"
        return files.open(self.url, "rb", block_size=0, size=1, headers=headers)  # any size: none is asked for


def explained(error: Exception, url: str, where: str) -> InputError:
    """Return an error in words that say what to do, nothing secret in them.

    Args:
        error: of fsspec or a package below it. url: what may not be shown. where: what is shown in its place.
    """
    if isinstance(error, InputError):
        return error
    _, _, keys = NEEDS[_protocol(url)]
    status = http_status(error)
    if isinstance(error, FileNotFoundError) and status is None and isinstance(error.__cause__, Exception):
        error = error.__cause__  # fsspec takes any failure to ask a server of HTTP for a missing file
    kind = type(error).__name__
    if isinstance(error, PermissionError) or status in (401, 403):
        told = f" (HTTP {status})" if status else ""
        return InputError(f"{where}: access is denied{told}; give keys that may read it, by {keys}, or leave it out")
    if kind in ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError"):
        hint = "; of a public bucket: corpus.storage_options.s3.anon=true"
        return InputError(f"{where}: there are no keys to read it with ({kind}); give them by {keys}{hint}")
    if status in (404, 410) or (isinstance(error, FileNotFoundError) and status is None):
        return InputError(f"{where}: there is no such file{_told_by(status)}; mend the address or leave it out")
    if status:
        return InputError(f"{where}: its server answers with HTTP {status}; ask for it again later, or leave it out")
    what = to_show(str(error).replace(url, where)) or "no reason is given"
    return InputError(f"{where}: can't be read ({kind}: {what}); look at the network, or leave it out")


def _told_by(status: int | None) -> str:
    return f" (HTTP {status})" if status else ""


def _matching(pattern: str, asked: str, options: dict[str, Any]) -> list[RemoteFile]:
    is_http = _protocol(pattern) in HTTP
    if is_http and MAGIC.search(_shown(pattern)):
        raise InputError(f"{asked}: servers of HTTP list no files, so that it can't be a pattern; name each file")
    try:
        files = _file_system(pattern, options, asked)
        if is_http or not MAGIC.search(pattern):
            infos = [tried_again(lambda: files.info(pattern), _shown(pattern))]
        else:
            infos = list(files.glob(pattern, detail=True).values())
        infos = [info for info in infos if info["type"] == "file" and not info["name"].endswith("/")]
        if not infos:
            raise InputError(f"{asked} matches no file; {_nearby(files, pattern)}; mend the pattern")
    except Exception as error:
        raise explained(error, pattern, asked) from error
    return [_remote_file(info, pattern, options) for info in infos]


def _remote_file(info: dict[str, Any], pattern: str, options: dict[str, Any]) -> RemoteFile:
    protocol = _protocol(pattern)
    url = pattern if protocol in HTTP else f"{protocol}://{info['name']}"
    file = RemoteFile(url, _shown(url), options, info.get("size"), _version(info))
    if not file.version:
        print(f"{file.where}: its server tells no version of it: only a change of its size is noticed", file=sys.stderr)
    return file


def _nearby(files: Any, pattern: str) -> str:
    """Return what lies in the deepest folder of a pattern that is no pattern itself."""
    head = pattern[: match.start()] if (match := MAGIC.search(pattern)) else pattern
    folder = head.rpartition("/")[0]
    try:
        names = sorted(info["name"].rpartition("/")[2] for info in files.ls(folder, detail=True))
    except FileNotFoundError:
        names = []
    if not names:
        return f"nothing is in {folder}/"
    like = difflib.get_close_matches(pattern.rpartition("/")[2], names, SHOWN, cutoff=0.4) or names[:SHOWN]
    return f"in {folder}/ there are {', '.join(like)} ({len(like)} of {number_of(len(names), 'name')})"


def _file_system(url: str, options: dict[str, Any], where: str) -> Any:
    """Return fsspec's file system, which fsspec keeps: connections are shared by all files of one."""
    protocol = _protocol(url)
    package, extra, _ = NEEDS[protocol]
    try:
        importlib.import_module(package)
        fsspec = importlib.import_module("fsspec")
    except ImportError as error:
        raise InputError(
            f"{where}: {protocol}:// needs the package {package}, which can't be imported ({error}); "
            f"pip install -e '.[{extra}]'"
        ) from error
    if protocol in HTTP:
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        # compressed or not, the bytes as they come: a server's Content-Encoding would make sizes and places wrong; and
        # few of them ahead, which aiohttp forgets when a connection breaks
        own = {"timeout": timeout, "auto_decompress": False, "trust_env": True, "read_bufsize": AHEAD_BYTES}
        # one that is encoded is sent as it is: written anew, a signature may no longer fit it
        encoded = {"encoded": ENCODED.fullmatch(url) is not None}
        options = encoded | options | {"client_kwargs": own | options.get("client_kwargs", {})}
    return fsspec.filesystem(protocol, use_listings_cache=False, **options)


def _version(info: dict[str, Any]) -> str:
    """Return what a server calls a file's version: its ETag, where it has none its date."""
    for name in ("ETag", "etag", "Last-Modified", "LastModified", "updated", "mtime"):
        if info.get(name):
            return str(info[name])
    return ""


def _protocol(url: str) -> str:
    match = ADDRESS.match(url)
    assert match is not None
    return match[1].lower()


def _shown(url: str) -> str:
    """Return an address without its query, where that is one: in a bucket's pattern, `?` is any character."""
    return re.split(r"[?#]", url, maxsplit=1)[0] if _protocol(url) in HTTP else url


def _parts(url: str) -> list[str]:
    """Return the protocol, the host or bucket and the folders and file of an address."""
    protocol = _protocol(url)
    if protocol not in HTTP:
        return [protocol, *url[len(protocol) + 3 :].split("/")]
    split = urlsplit(_shown(url))
    return [protocol, split.netloc, *(unquote(part) for part in split.path.split("/") if part)]
