"""What a user tells and asks for later in the same chat."""
from .words import ANIMALS, CITIES, COLOURS, FOODS, FRUITS, HOBBIES, JOBS, NAMES, a


def _name(draw):
    name = draw.slot("name", NAMES)
    tell = draw.form("my name", ["My name is {n}.", "I am {n}.", "Hi, I'm {n}.",
                                 "Hello, my name is {n}.", "You can call me {n}.",
                                 "I am called {n}.", "People call me {n}."])
    ask = draw.form("ask name", ["What is my name?", "Do you remember my name?", "What's my name?",
                                 "Who am I?", "Can you tell me my name?"])
    return (tell.format(n=name), f"Nice to meet you, {name}!"), (ask, f"Your name is {name}.")


def _city(draw):
    city = draw.slot("city", CITIES)
    tell = draw.form("my city", ["I live in {c}.", "I am from {c}.", "My home is in {c}.",
                                 "I come from {c}.", "My city is {c}."])
    ask = draw.form("ask city", ["Where do I live?", "Which city do I live in?", "What is my city?",
                                 "Where am I from?", "Do you remember where I live?"])
    return (tell.format(c=city), f"{city} is a nice place."), (ask, f"You live in {city}.")


def _favourite(draw):
    kind, values = draw.one_of([("colour", COLOURS), ("animal", ANIMALS), ("food", FOODS), ("fruit",
        FRUITS), ("hobby", HOBBIES), ("city", CITIES)])
    value = draw.slot(kind, values)
    tell = draw.form("my favourite", ["My favourite {k} is {v}.",
                                      "Remember: my favourite {k} is {v}.",
                                      "The {k} that I like best is {v}.",
                                      "Please note that my favourite {k} is {v}.",
                                      "I want to tell you that my favourite {k} is {v}."])
    ask = draw.form("ask favourite", ["What is my favourite {k}?", "Which {k} do I like best?",
                                      "Do you remember my favourite {k}?",
                                      "What's my favourite {k}?", "Tell me my favourite {k}."])
    return (tell.format(k=kind, v=value),
            f"I will remember that your favourite {kind} is {value}."), (ask.format(k=kind),
                f"Your favourite {kind} is {value}.")


def _number(draw):
    value = draw.number(0, 999)
    draw.values("remember", value)
    kind = draw.one_of(["number", "code", "room number", "ticket number"])
    tell = draw.form("my number", ["Remember the {k} {v}.", "The {k} is {v}. Please remember it.",
                                   "My {k} is {v}.", "Keep this {k} in mind: {v}.",
                                   "Note the {k} {v}."])
    ask = draw.form("ask number", ["What was the {k}?", "Which {k} did I give you?",
                                   "What is the {k}?", "Tell me the {k} again.",
                                   "Do you remember the {k}?"])
    return (tell.format(k=kind, v=value),
            f"I will remember the {kind} {value}."), (ask.format(k=kind), f"The {kind} is {value}.")


def _pet(draw):
    animal, name = draw.slot("animal", ANIMALS), draw.slot("name", NAMES)
    tell = draw.form("my pet", ["I have {a} called {n}.", "My {p} is called {n}.",
                                "The name of my {p} is {n}.", "I have {a}. Its name is {n}.",
                                "{n} is my {p}."])
    ask = draw.form("ask pet", ["What is my {p} called?", "What is the name of my {p}?",
                                "How is my {p} called?", "Do you remember the name of my {p}?",
                                "Tell me the name of my {p}."])
    return (tell.format(a=a(animal), p=animal, n=name),
            f"{name} is a nice name for {a(animal)}."), (ask.format(p=animal),
                                                         f"Your {animal} is called {name}.")


def _job(draw):
    job = draw.slot("job", JOBS)
    tell = draw.form("my job", ["I am {j}.", "I work as {j}.", "My job is to be {j}.",
                                "I earn my money as {j}.", "By trade I am {j}."])
    ask = draw.form("ask job", ["What is my job?", "What do I work as?", "Do you remember my job?",
                                "What's my job?", "Which job do I have?"])
    return (tell.format(j=a(job)), f"Being {a(job)} is good work."), (ask, f"You are {a(job)}.")


def _age(draw):
    age = draw.number(5, 90)
    draw.values("age", age)
    tell = draw.form("my age", ["I am {n} years old.", "I turned {n} this year.", "My age is {n}.",
                                "I'm {n} years old.", "I have reached the age of {n}."])
    ask = draw.form("ask age", ["How old am I?", "What is my age?", "Do you remember how old I am?",
                                "Tell me my age.", "What age am I?"])
    return (tell.format(n=age), f"{age} is a good age."), (ask, f"You are {age} years old.")


_KINDS = [_name, _name, _name, _city, _favourite, _favourite, _number, _number, _pet, _job, _age]


def memory(draw):
    """((tell, answer), (ask, answer)): two exchanges that belong to one chat, in this order."""
    return draw.one_of(_KINDS)(draw)
