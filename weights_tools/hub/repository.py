"""Asking the Hugging Face hub: what a repository holds, whether it may be had, and why not.

Addresses, tokens, ``HF_ENDPOINT``, proxies and the kinds of refusal are the business of the package
``huggingface_hub``, 1.0 or later, of which only documented functions are used:
https://huggingface.co/docs/huggingface_hub/package_reference/overview
"""

import errno
from typing import NamedTuple

from .files import HubFile

GO_ON = "the same command goes on where it stopped"
NO_GATE = "the doll-house that ships here and models without a gate need neither"


class Repository(NamedTuple):
    """One commit of a repository, so that all files belong together, and how to ask for them."""

    name: str
    commit: str
    files: dict[str, HubFile]
    endpoint: str
    headers: dict[str, str]

    def address(self, file: str) -> str:
        """Where a file lies: https://huggingface.co/OWNER/NAME/resolve/COMMIT/FILE."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(self.name, file, revision=self.commit, endpoint=self.endpoint)


def open_repository(
    name: str, revision: str | None, token: str | None, endpoint: str | None
) -> Repository:
    """Ask what a repository holds. Its list is open even where its files are behind a gate."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HTTPError
    from huggingface_hub.utils import build_hf_headers

    api = HfApi(endpoint=endpoint, token=token)
    headers = build_hf_headers(token=token) | {"Accept-Encoding": "identity"}
    try:
        info = api.model_info(name, revision=revision, files_metadata=True)
        files = {
            found.rfilename: HubFile(
                int(found.size), found.lfs.sha256 if found.lfs else str(found.blob_id)
            )
            for found in info.siblings
        }
    except (HTTPError, OSError):
        raise
    except Exception as error:  # whatever an answer that is not a hub's does to the package
        raise ValueError(f"{api.endpoint} does not answer as a hub does: {error!r}") from None
    return Repository(name, str(info.sha), files, api.endpoint, headers)


def ask(repository: Repository, file: str, method: str) -> bytes:
    """Fetch a small file into memory, or, with HEAD, see whether a large one would be sent."""
    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import hf_raise_for_status

    response = get_session().request(
        method, repository.address(file), headers=repository.headers,
        timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, follow_redirects=method == "GET",
    )  # fmt: skip
    hf_raise_for_status(response)
    return response.content


def status_of(error: Exception) -> int | None:
    """The number with which the hub refused, or None where no answer came."""
    return getattr(getattr(error, "response", None), "status_code", None)


def cause(error: Exception) -> str:
    """An error in half a line."""
    status = status_of(error)
    return f"the hub answered {status}" if status else str(error).partition("\n")[0] or repr(error)


def plainly(error: Exception, repo: str, revision: str | None, token: bool) -> Exception:
    """The same error as one line that says what to do."""
    from huggingface_hub import errors

    page, status = f"https://huggingface.co/{repo}", status_of(error)
    log_in = "`hf auth login` or set HF_TOKEN"
    if isinstance(error, errors.GatedRepoError):
        then = (
            "with the account of your token (a fine-grained one must also allow gated repositories)"
            if token
            else f"then {log_in}"
        )
        text = f"is gated: open {page}, accept the licence, {then}; {NO_GATE}"
    elif isinstance(error, errors.RevisionNotFoundError):
        text = f"has no revision {revision!r}; {page}/tree/main lists those there are"
    elif status == 401 and "nvalid credentials" in str(error):
        text = f"the hub does not accept your token; {log_in} anew"
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        text = f"not found; check the name, and if the repository is private, {log_in}"
    elif status:
        text = f"{cause(error)}; try later, {GO_ON}"
    elif isinstance(error, errors.OfflineModeIsEnabled):
        text = "the variable HF_HUB_OFFLINE forbids the network; unset it"
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        text = f"the disk is full ({error.strerror}); make room, {GO_ON}"
    elif isinstance(error, errors.HTTPError):
        text = f"the hub cannot be reached ({cause(error)}); check the network, {GO_ON}"
    else:
        return error
    return OSError(f"{repo}: {text}")
