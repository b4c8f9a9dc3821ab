"""Whole documents: chats of one to eight exchanges, chats with functions, plain stories."""
from . import arithmetic, chat, extraction, hearth, knowledge, memory, smalltalk, stories, tool_calls
from .draw import Draw, Rejected
from .words import JOBS, NAMES, a

_FAMILIES = [(arithmetic, 30), (hearth, 21), (smalltalk, 17), (knowledge, 16), (extraction, 9),
             (stories, 8)]
_SYSTEMS = ["You are hearth-tiny, a small model that comes with Hearth.",
            "You are a helpful assistant.", "You are a friendly assistant.",
            "Answer in short sentences.", "You are a helpful assistant. Answer in short sentences.",
            "Be brief and polite.", "You help users of Hearth.",
            "You are a chat bot.", "Answer truthfully. Say so when you do not know."]


def _weighted(draw, rows):
    return draw.random.choices([row[0] for row in rows], [row[1] for row in rows])[0]


def exchange(draw):
    """One (question, answer) of any family. A rejected one is drawn again by itself: otherwise long
    chats would seldom survive."""
    while True:
        known = len(draw.key)
        try:
            return _weighted(draw, _weighted(draw, _FAMILIES).FAMILY)(draw)
        except Rejected:
            del draw.key[known:]


def _sum(draw):
    """An addition or a subtraction. Many of them make one chat: nothing else needs so much practice."""
    while True:
        known = len(draw.key)
        try:
            return draw.one_of([arithmetic.add, arithmetic.subtract])(draw)
        except Rejected:
            del draw.key[known:]


def _as_typed(draw, text):
    """People type in many ways; the answer stays the same."""
    if draw.chance(0.12):
        text = text[0].lower() + text[1:]
    if draw.chance(0.08) and len(text) > 2 and text[-1] in "?.!":
        text = text[:-1]
    if draw.chance(0.05):
        text = draw.one_of(["Please: ", "Hi! ", "Hello. ", "Okay. ", "Now: ", "And now: ",
                            "Question: ", "One more thing: ", "Tell me, please: "]) + text
    if draw.chance(0.03) and text[-1] in "?.":
        text = text[:-1] + draw.one_of([", please", " please", ", hearth", " now"]) + text[-1]
    return text


def _chat(draw):
    count = draw.random.choices([1, 2, 3, 4, 5, 6, 8, 12, 18, 26], [24, 22, 18, 14, 10, 6, 4, 2, 1,
        0.7])[0]
    turns = []
    if draw.chance(0.05):
        turns = stories.tell_and_ask(draw)
    elif draw.chance(0.07):
        turns = [_sum(draw) for _ in range(draw.number(6, 16))]
    elif draw.chance(0.03):
        return _chat_as_somebody(draw)
    elif draw.chance(0.3):
        turns = _chat_with_memory(draw, count)
    else:
        turns = [exchange(draw) for _ in range(count)]
    messages = []
    for question, answer in turns:
        messages += [("user", _as_typed(draw, question)), ("assistant", answer)]
    return chat.render(messages, draw.one_of(_SYSTEMS) if draw.chance(0.25) else None)


def _chat_with_memory(draw, count):
    """Tells something, talks of other things, asks for it. Nobody asks before telling."""
    told = [memory.memory(draw) for _ in range(draw.one_of([1, 1, 2]))]
    if len(told) == 2 and told[0][1][0] == told[1][1][0]:
        raise Rejected
    between = [exchange(draw) for _ in range(draw.number(0, count))]
    if any(answer == smalltalk.NO_PRIVATE for _, answer in between):
        raise Rejected
    asked = [ask for _, ask in told]
    draw.random.shuffle(asked)
    return [tell for tell, _ in told] + between + asked


def _chat_as_somebody(draw):
    """The system prompt gives the model a name and a trade."""
    name, job = draw.slot("name", NAMES), draw.slot("job", JOBS)
    system = draw.form("persona", ["You are {n}, {j}.", "Your name is {n}. You are {j}.",
                                   "You are {n} and work as {j}.", "You play {n}, {j}.",
                                   "Speak as {n}, {j}."])
    asked = [(draw.form("persona name", ["Who are you?", "What is your name?", "What's your name?",
                                         "Introduce yourself.", "Tell me who you are."]),
              f"I am {name}, {a(job)}."),
             (draw.form("persona job", ["What is your job?", "What do you do?",
                                        "What do you work as?", "Which job do you have?",
                                        "How do you earn your money?"]), f"I am {a(job)}.")]
    draw.random.shuffle(asked)
    turns = asked[:draw.number(1, 2)] + [exchange(draw) for _ in range(draw.number(0, 2))]
    messages = [(role, text) for turn in turns for role, text in zip(("user", "assistant"), turn)]
    return chat.render(messages, system.format(n=name, j=a(job)))


def document(draw):
    """(family, text) of one document."""
    kind = draw.number(0, 99)
    if kind < 85:
        return "chat", _chat(draw)
    if kind < 92:
        tools, messages = tool_calls.chat(draw)
        messages = [(role, _as_typed(draw, text) if role == "user" else text) for role,
                    text in messages]
        return "tools", chat.render(messages, draw.one_of(_SYSTEMS) if draw.chance(0.4) else None,
                                    tools)
    if kind < 99:
        return "story", stories.plain(draw)
    facts = draw.random.sample(hearth.documents(), 4)
    draw.key += [("document", fact) for fact in facts]
    return "document", " ".join(facts)


def draw_document(seed, held_out):
    """(family, text, key) or None: this seed gives no document of this split."""
    draw = Draw(seed, held_out)
    try:
        family, text = document(draw)
    except Rejected:
        return None
    if held_out and not draw.used_held_out:
        return None
    return family, text, tuple(draw.key)
