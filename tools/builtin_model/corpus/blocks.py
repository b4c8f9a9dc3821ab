"""Reads the text files of questions and answers that lie beside this file."""
import pathlib

_ANSWER, _MORE = "> ", "| "


def read_blocks(name):
    """[(questions, answers)] of blocks between blank lines: questions first, then lines "> answer";
    "> | text" is a further line of the answer before. Lines with '#' are comments."""
    text = (pathlib.Path(__file__).parent / name).read_text()
    blocks = []
    for block in text.split("\n\n"):
        questions, answers = [], []
        for line in block.splitlines():
            if line.startswith(_ANSWER + _MORE):
                answers[-1] += "\n" + line[len(_ANSWER + _MORE):]
            elif line.startswith(_ANSWER):
                answers.append(line[len(_ANSWER):])
            elif not line.startswith("#"):
                questions.append(line)
        if questions and answers:
            blocks.append((questions, answers))
        elif questions or answers:
            raise ValueError(
                f"{name}: questions without answers, or answers without questions: {block!r}")
    return blocks
