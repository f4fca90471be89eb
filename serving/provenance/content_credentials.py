"""Content Credentials of a file (C2PA): who signed it, whether that holds, and what is claimed.

Read and validated by `c2pa-python` (extra `provenance`), which implements the C2PA Technical
Specification; status codes and assertions below are those of its version 2.4. Nothing is fetched:
neither manifests that lie elsewhere nor answers on revoked certificates.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pipelines.video.mp4_boxes import Readable
from serving.provenance.printable import MOST, printable

NOT_INSTALLED = (
    "Not checked: the package that reads Content Credentials is not installed. Install it with: "
    "pip install 'dfdetect[provenance]'"
)
NONE_FOUND = (
    "None were found. Most videos carry none, and platforms often remove them: that says nothing "
    "for or against this one."
)
# IPTC's digital source types (and C2PA's own trainedAlgorithmicData) that name a generative model.
AI_SOURCES = {
    "trainedAlgorithmicMedia": "made by a generative model",
    "compositeWithTrainedAlgorithmicMedia": "edited with a generative model",
    "compositeSynthetic": "put together with at least one synthetic part",
    "trainedAlgorithmicData": "made of data from a generative model",
}
AI_DISCLOSURE = "c2pa.ai-disclosure"
OFFLINE: dict[str, Any] = {
    "verify": {
        "verify_after_reading": True,
        "verify_trust": True,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
    "core": {"allowed_network_hosts": []},  # identity assertions might ask the web, too
}

Status = Literal["found", "none_found", "elsewhere", "not_checked", "unreadable"]
Check = Literal["holds", "fails", "unknown"]
Trust = Literal["trusted", "untrusted", "not_checked"]
TRUST_WORDS: dict[Trust, str] = {
    "trusted": "The signer is on the trust list.",
    "untrusted": "The signer is not on the trust list: anyone can sign under any name.",
    "not_checked": "Whether the signer can be trusted was not checked, without a trust list: "
    "anyone can sign under any name.",
}


@dataclasses.dataclass(frozen=True)
class Action:
    """What was done to the media, as claimed. of: "" for this file, or the title of the earlier
    one whose manifest claims it. source_type: the digital source type, a URL or its last part."""

    action: str
    of: str = ""
    description: str = ""
    software: str = ""
    source_type: str = ""
    time: str = ""


@dataclasses.dataclass(frozen=True)
class AiClaim:
    """A claim that AI took part. assertion: the label of what claims it. of: as in Action."""

    assertion: str
    says: str
    of: str = ""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What the validator holds against the manifest: a status code of the specification."""

    code: str
    explanation: str


@dataclasses.dataclass(frozen=True)
class ContentCredentials:
    """What is known of a file's Content Credentials.

    summary: sentences for people. What follows is of the status "found" alone. signature: of the
    claim, by the key of the certificate. content: whether the file is the one that was signed, by
    its hash. claims: whether the assertions are, by theirs. trust: whether the certificate leads to
    one of the trust list. organisation, name, serial_number: the certificate's. signed_at: by a
    time stamp. tool: the claim generator. assertions: labels of those that are not interpreted
    here. ingredients: titles of what the file was made of.
    """

    status: Status
    summary: str
    signature: Check = "unknown"
    content: Check = "unknown"
    claims: Check = "unknown"
    trust: Trust = "not_checked"
    organisation: str = ""
    name: str = ""
    serial_number: str = ""
    signed_at: str = ""
    tool: str = ""
    title: str = ""
    ai: tuple[AiClaim, ...] = ()
    actions: tuple[Action, ...] = ()
    assertions: tuple[str, ...] = ()
    ingredients: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def signer(self) -> str:
        """The signer as people are shown it; "" of none."""
        names = dict.fromkeys(name for name in (self.organisation, self.name) if name)
        first, *rest = names or [""]
        return f"{first} ({rest[0]})" if rest else first


def load_library() -> None:
    """Loads what reading needs, for a process that may load nothing later."""
    with contextlib.suppress(ImportError):
        import c2pa  # the extra `provenance`

        with c2pa.Context.from_dict(OFFLINE) as context, contextlib.suppress(c2pa.C2paError):
            c2pa.Reader("video/mp4", io.BytesIO(b"no video"), None, context).close()


def read_content_credentials(file: Readable, trust_list: str = "") -> ContentCredentials:
    """The credentials in an open file, whatever is amiss with them.

    trust_list: certificates in PEM of those who are trusted; "": nobody's trust is checked.
    """
    try:
        import c2pa  # the extra `provenance`
    except ImportError:
        return ContentCredentials("not_checked", NOT_INSTALLED)
    trust = {"trust": {"trust_anchors": trust_list}} if trust_list else {}
    try:
        with (
            c2pa.Context.from_dict({**OFFLINE, **trust}) as context,
            c2pa.Reader(None, file, None, context) as reader,
        ):
            store = json.loads(reader.json())
    except c2pa.C2paError as error:
        return _without(c2pa, error)
    try:
        return _found(store, bool(trust_list))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return _unreadable(f"the manifest is not as specified ({type(error).__name__})")


def _without(c2pa: Any, error: Exception) -> ContentCredentials:
    """What an error of the library says of a file; its text may hold what the file holds."""
    text = str(error)
    if isinstance(error, c2pa.C2paError.ManifestNotFound):
        return ContentCredentials("none_found", NONE_FOUND)
    if isinstance(error, c2pa.C2paError.NotSupported):
        kind = "Not checked: in files of this format Content Credentials are not looked for."
        return ContentCredentials("not_checked", kind)
    if match := re.match(r"Remote: .* url (\S+)", text):
        where = f"They are kept elsewhere, at {printable(match[1])}, and were not fetched"
        return ContentCredentials("elsewhere", f"{where}: nothing is known of them.")
    return _unreadable(text)


def _unreadable(why: str) -> ContentCredentials:
    why = printable(why).rstrip(".")
    return ContentCredentials("unreadable", f"There are some, and they could not be read: {why}.")


def _found(store: Mapping[str, Any], trust_checked: bool) -> ContentCredentials:
    """What the library read, in our words. Raises what any code raises of unexpected values."""
    manifests = store["manifests"]
    active = manifests[store["active_manifest"]]
    results = store["validation_results"]["activeManifest"]
    passed = [status["code"] for status in results["success"]]
    failures = [
        Problem(printable(status["code"]), printable(status.get("explanation")))
        for status in results["failure"]
        if status["code"] != "signingCredential.untrusted"  # told by `trust`
    ]
    failed = [problem.code for problem in failures]
    signature_info = active.get("signature_info") or {}
    signer = _named(signature_info)
    # Newest first: what the file is made of comes after what was made of it.
    parts = [("", active)] + [
        (printable(manifest.get("title")) or "an earlier version", manifest)
        for manifest in manifests.values()
        if manifest is not active
    ]
    credentials = ContentCredentials(
        status="found",
        summary="",
        signature=_check(r"claimSignature\.", "claimSignature.validated", passed, failed),
        content=_check(r"assertion\.\w+Hash\.", r"assertion\.\w+Hash\.match", passed, failed),
        claims=_check(r"assertion\.hashedURI\.", r"assertion\.hashedURI\.match", passed, failed),
        trust=_trust(passed) if trust_checked else "not_checked",
        **signer,
        tool=_tool(active),
        title=printable(active.get("title")),
        ai=tuple(claim for of, m in parts for claim in _ai_claims(of, m))[:MOST],
        actions=tuple(action for of, m in parts for action in _actions(of, m))[:MOST],
        assertions=tuple(_uninterpreted(active))[:MOST],
        ingredients=tuple(
            printable(part.get("title")) or "without a title"
            for part in active.get("ingredients") or []
        )[:MOST],
        problems=tuple(failures)[:MOST],
    )
    return dataclasses.replace(credentials, summary=" ".join(_sentences(credentials)))


def _named(signature_info: Mapping[str, Any]) -> dict[str, str]:
    keys = {
        "organisation": "issuer",  # in the library's words; it is the subject's organisation
        "name": "common_name",
        "serial_number": "cert_serial_number",
        "signed_at": "time",
    }
    return {ours: printable(signature_info.get(theirs)) for ours, theirs in keys.items()}


def _check(kind: str, good: str, passed: list[str], failed: list[str]) -> Check:
    if any(re.match(kind, code) for code in failed):
        return "fails"
    return "holds" if any(re.fullmatch(good, code) for code in passed) else "unknown"


def _trust(passed: list[str]) -> Trust:
    return "trusted" if "signingCredential.trusted" in passed else "untrusted"


def _tool(manifest: Mapping[str, Any]) -> str:
    made_by = manifest.get("claim_generator_info") or []
    names = [f"{one.get('name', '')} {one.get('version', '')}" for one in made_by]
    return printable(", ".join(names) or manifest.get("claim_generator"))


def _assertions(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for assertion in manifest.get("assertions") or []:
        data = assertion.get("data")
        yield str(assertion["label"]), data if isinstance(data, dict) else {}


def _is(label: str, name: str) -> bool:
    """Whether a label is this one, of any version and any instance: NAME, NAME.v2, NAME__1."""
    return re.fullmatch(rf"{re.escape(name)}(\.v\d+)?(__\d+)?", label) is not None


def _actions(of: str, manifest: Mapping[str, Any]) -> Iterator[Action]:
    for label, data in _assertions(manifest):
        if not _is(label, "c2pa.actions"):
            continue
        for action in data.get("actions") or []:
            agent = action.get("softwareAgent") or ""
            if isinstance(agent, dict):
                agent = f"{agent.get('name', '')} {agent.get('version', '')}"
            yield Action(
                action=printable(action.get("action")),
                of=of,
                description=printable(action.get("description")),
                software=printable(agent),
                source_type=printable(action.get("digitalSourceType")),
                time=printable(action.get("when")),
            )


def _ai_claims(of: str, manifest: Mapping[str, Any]) -> Iterator[AiClaim]:
    for action in _actions(of, manifest):
        kind = re.split(r"[/#:]", action.source_type)[-1]
        if kind in AI_SOURCES:
            yield AiClaim(action.action, AI_SOURCES[kind], of)
    for label, data in _assertions(manifest):
        if _is(label, AI_DISCLOSURE):
            model = printable(data.get("modelName") or data.get("modelIdentifier"))
            by = f" by {model}" if model else ""
            yield AiClaim(AI_DISCLOSURE, f"AI took part{by}", of)
        elif not _is(label, "c2pa.actions"):  # as earlier versions have it, of the whole
            source = data.get("digitalSourceType")
            kind = re.split(r"[/#:]", source)[-1] if isinstance(source, str) else ""
            if kind in AI_SOURCES:
                yield AiClaim(printable(label), AI_SOURCES[kind], of)


def _uninterpreted(manifest: Mapping[str, Any]) -> Iterator[str]:
    known = ("c2pa.actions", AI_DISCLOSURE)
    for label, _ in _assertions(manifest):
        if not label.startswith("c2pa.hash.") and not any(_is(label, name) for name in known):
            yield printable(label)


def _sentences(of: ContentCredentials) -> Iterator[str]:
    signer = of.signer or "a certificate without a name"
    when = f" at {of.signed_at}" if of.signed_at else ""
    yield f"They name as signer: {signer}{when}."
    if of.signature != "holds":
        yield "The signature does not hold: nobody vouches for what they claim."
    elif of.content == "fails":
        yield "The signature holds, but the file was changed after it was signed."
    elif of.claims == "fails":
        yield "The signature holds, but claims were changed after it was made."
    elif of.problems:
        codes = ", ".join(problem.code for problem in of.problems)
        yield f"The signature holds, but the validator objects: {codes}."
    elif of.content == "holds":
        yield "The signature holds, and the file is as it was signed."
    else:
        yield "The signature holds; whether the file is the one that was signed is not known."
    if of.signature == "holds":  # else the certificate is no more than a name that is used
        yield TRUST_WORDS[of.trust]
    if of.ai:
        says = dict.fromkeys(claim.says for claim in of.ai)
        yield f"They claim that AI took part: {', '.join(says)}."
