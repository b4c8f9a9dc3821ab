"""Questions about Hearth: the facts of hearth_facts.txt and the options of config/hearth.toml."""
import functools
import pathlib
import re

from .blocks import read_blocks

OPTIONS_FILE = pathlib.Path(__file__).resolve().parents[3] / "config" / "hearth.toml"

FACTS = [(questions, answers[0]) for questions, answers in read_blocks("hearth_facts.txt")]


@functools.cache
def read_options():
    """Each option as {flag, short, env, choices, help, default}, from the comments of the file."""
    options = []
    for block in OPTIONS_FILE.read_text().split("\n\n"):
        comments = [line for line in block.splitlines() if line.startswith("#")]
        lines = [line.removeprefix("#").strip() for line in comments]
        if len(lines) < 3 or not lines[-2].startswith("--"):
            continue
        names, _, choices = lines[-2].partition(": ")
        flags = [name.strip() for name in names.split(",")]
        text = " ".join(lines[:-2])
        text = re.sub(r" ?Default [^ ]+\.$", "", text)
        options.append({"flag": flags[0], "short": flags[1] if flags[1].startswith("-") else "",
                        "env": flags[-1],
                        "choices": choices, "help": text,
                        "default": lines[-1].partition(" = ")[2].strip('"')})
    if len(options) < 20:
        raise ValueError(f"{OPTIONS_FILE} holds {len(options)} options: its layout has changed")
    return options


_DOES = ["What does {f} do?", "What is {f} for?", "What is {f}?", "Explain {f}.",
         "What does the option {f} do?", "Tell me about {f}.", "How does {f} work?",
         "{f}?", "What happens with {f}?", "Explain the option {f}."]
_DEFAULT = ["What is the default of {f}?", "What is the default for {f}?", "Which default has {f}?",
            "default of {f}?", "What value has {f} by default?",
            "What is {f} if I do not set it?"]
_ENV = ["Which environment variable sets {f}?", "What is the variable for {f}?",
        "How do I set {f} by environment?", "Which variable belongs to {f}?",
        "environment variable of {f}?"]
_FROM_ENV = ["What does {e} do?", "What is {e}?", "What is the variable {e} for?",
             "Which option is {e}?"]
_CHOICES = ["Which values does {f} take?", "What can I set {f} to?", "What are the values of {f}?",
            "Which values are there for {f}?"]


def _ask(draw, kind, subject, forms, **fill):
    index = draw.number(0, len(forms) - 1)
    draw.values(kind, subject, index)
    return forms[index].format(**fill)


def option(draw):
    each = draw.one_of(read_options())
    flag, kind = each["flag"], draw.number(0, 9)
    if kind < 5:
        name = each["short"] if each["short"] and draw.chance(0.3) else flag
        return _ask(draw, "does", flag, _DOES, f=name), each["help"]
    if kind < 7:
        default = each["default"]
        if default in ("", "[]"):
            return _ask(draw, "default", flag, _DEFAULT, f=flag), f"{flag} has no default."
        return _ask(draw, "default", flag, _DEFAULT, f=flag), f"The default of {flag} is {default}."
    if kind < 8 and each["choices"]:
        return _ask(draw, "choices", flag, _CHOICES,
                    f=flag), f"{flag} takes {each['choices'].replace('|', ', ')}."
    if kind < 9:
        return _ask(draw, "env", flag, _ENV, f=flag), f"The variable {each['env']} sets {flag}."
    return _ask(draw, "from env", flag, _FROM_ENV,
                e=each["env"]), f"{each['env']} sets {flag}. {each['help']}"


_WRAPS = ["{q}"] * 8 + ["I use Hearth. {q}", "A question about Hearth: {q}", "Tell me: {q}",
                        "Quick question: {q}"]


def fact(draw):
    questions, answer = draw.one_of(FACTS)
    question = draw.form("fact " + questions[0], questions)
    return draw.one_of(_WRAPS).format(q=question), answer


FAMILY = [(fact, 10), (option, 7)]


def documents():
    """Plain texts about Hearth: the answers alone, one after another."""
    return [answer for _, answer in FACTS]
