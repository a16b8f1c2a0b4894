"""Do the registry's main job on real models, from training to rollback, against a fresh server: `make demo`.

Every step checks what it claims. The first claim that does not hold ends the demo with exit code 1.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
if not __package__:
    # A script's own folder is the first on the path; the package begins one above.
    sys.path[0] = str(ROOT)

from demo.server import clean_environment, running_server  # noqa: E402
from demo.story import DemoFailed, Story  # noqa: E402

FAILED, INTERRUPTED = 1, 130


def main() -> int:
    """Run it; answers the exit code."""
    signal.signal(signal.SIGTERM, _end)
    _forget_configuration()
    return tell(Story())


def tell(story: Story) -> int:
    """The whole story; answers the exit code."""
    story.say("Registrar: a model from training to production, and back", "bold")
    story.say()
    with tempfile.TemporaryDirectory(prefix="registrar-demo-") as directory, running_server(Path(directory)) as server:
        try:
            with story.step("Start a registry with everything embedded"):
                # Importing MLflow and scikit-learn takes as long as the server does to start.
                from demo.main_job import MainJob

                job = MainJob(story, server, Path(directory))
                registry = job.connect()
            with registry:
                job.run(registry)
        except KeyboardInterrupt:
            print("\ninterrupted", file=sys.stderr)
            return INTERRUPTED
        except Exception as exc:  # noqa: BLE001  (whatever it is, a person has to be told which step it was)
            _explain(story, exc, server.last_words())
            return FAILED
    story.say(f"\nAll {story.checks} checks of {story.steps} steps hold, in {story.seconds:.0f} s.", "bold green")
    story.say("Your own registry: `make serve`. The same from Python: docs/python.md; from a shell: docs/grpcurl.md.")
    return 0


def _explain(story: Story, exc: Exception, log: str) -> None:
    what = str(exc) if isinstance(exc, DemoFailed) else f"{type(exc).__name__}: {exc}"
    print(f"\n✗ Step {story.steps} ({story.title}) failed.\n  {what}", file=sys.stderr)
    print(f"\nThe end of the server's log:\n{log}", file=sys.stderr)


def _forget_configuration() -> None:
    """What the shell exports for a server, a client or MLflow must not lead the demo to somebody's real registry."""
    kept = clean_environment()
    for name in set(os.environ) - set(kept):
        del os.environ[name]


def _end(*_: object) -> NoReturn:
    """SIGTERM ends the demo as Ctrl-C does, and with it the server."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
