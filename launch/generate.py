"""Continue a text with a trained model.

    python launch/generate.py run=runs/gpt_small prompt="def fibonacci(n):"

prompt=TEXT        taken literally, whatever characters it holds; prompt=- reads stdin; without one, the model begins
prompt_file=PATH   the text of a file instead, taken literally too
temperature=0.8    0 takes the likeliest token always, 1 draws as the model says
top_k=50           draw from the likeliest k tokens; null from all
top_p=null         draw from the likeliest tokens that together hold this probability; null from all
seed=0             of the draws; sample i is drawn with seed + i
max_new_tokens=200 length of a continuation at most; it ends at the end of the text, if the model writes one
num_samples=1      how many continuations
checkpoint=PATH    a folder such as runs/x/checkpoints/step_00000100; by default the newest healthy one of the run
data.path=PATH     a data folder whose tokenizer to take; by default the copy in the run's folder
device=auto        auto, cuda, mps or cpu
extra_targets=[P.] admits a model of your own package P, as it did for the training
"""

from __future__ import annotations

from foundation.reader import reader_may_leave
from launch.generate_line import Settings, parse, read_prompt
from launch.pairs import run_command


def main() -> None:
    """Read the command line and write continuations to stdout; exit with 2 for what users can mend, 130 on Ctrl-C."""
    run_command(__doc__, _continue)


def _continue(arguments: list[str]) -> None:
    settings = parse(arguments)
    generate(settings, read_prompt(settings))


def generate(settings: Settings, prompt: str) -> None:
    """Load the model and write continuations of the prompt to stdout."""
    # these bring torch: two seconds that help and a mistyped line need not wait for
    from launch.continuation import load, write_samples
    from pretrain.evaluate.sampling import check_settings
    from pretrain.mesh import start_mesh

    check_settings(settings.max_new_tokens, settings.temperature, settings.top_k, settings.top_p)
    with start_mesh(settings.device, key="device") as mesh:
        write_samples(load(settings, mesh.device), prompt, settings, mesh.device)


if __name__ == "__main__":
    with reader_may_leave():
        main()
