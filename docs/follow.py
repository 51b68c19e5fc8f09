"""Follow `vidsr enhance` from another program: python follow.py FILM...  (see programs.md)."""

import json
import subprocess
import sys


def follow(films: list[str]) -> int:
    """Run it, say where it is, and return its exit code."""
    command = [sys.executable, "-m", "vidsr", "enhance", "--progress", "json", *films]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8") as run:
        assert run.stderr is not None
        for line in run.stderr:
            if not line.startswith("{"):
                continue  # a sentence for people
            event = json.loads(line)
            if event["event"] == "progress":
                total = event["of"] or "?"
                left = "" if event["seconds_left"] is None else f", {event['seconds_left']:.0f} s left"
                print(f"{event['phase']} {event['frame']}/{total}{left}")
            elif event["event"] == "result":
                print(f"made {event['output']}: faces in {event['restored']} of {event['frames']} frames")
            elif event["event"] in ("warning", "error"):
                print(f"{event['event']}: {event['message']}")
    return run.returncode


if __name__ == "__main__":
    sys.exit(follow(sys.argv[1:]))
