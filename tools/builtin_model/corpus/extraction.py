"""JSON from sentences: names, numbers and the keys themselves vary."""
import json

from .words import ANIMALS, CITIES, COLOURS, DAYS, FOODS, FRUITS, JOBS, MONTHS, NAMES, OBJECTS, a, plural


def _person(draw):
    fields = {"name": draw.slot("name", NAMES), "age": draw.number(4, 95), "city": draw.slot("city",
        CITIES), "job": draw.slot("job", JOBS)}
    text = draw.form("person text", [
        "{name} is {age} years old.", "{name} is {age} years old and lives in {city}.",
                                     "{name} lives in {city}.",
                                     "{name}, {age}, is {ajob} in {city}.",
        "My friend {name} works as {ajob} and is {age}.", "{name} from {city} is {age} years old.",
                                     "I met {name}, {ajob} from {city}.", "{name} is {ajob}.",
        "In {city} lives {name}, who is {age}.",
                                     "At {age}, {name} still works as {ajob} in {city}."])
    return fields, text, {"ajob": a(fields["job"])}


def _sale(draw):
    fields = {"item": draw.slot("thing", OBJECTS + FRUITS), "price": draw.number(1, 99),
              "colour": draw.slot("colour", COLOURS), "quantity": draw.number(2, 40)}
    text = draw.form("sale text", [
        "The {item} costs {price} euros.", "A {colour} {item} costs {price} euros.",
                                   "I bought {quantity} {items} for {price} euros.",
                                   "We need {quantity} {items}.",
        "Please send {quantity} {colour} {items}.",
                                   "The price of the {colour} {item} is {price} euros.",
                                   "For {price} euros you get {quantity} {items}."])
    return fields, text, {"items": plural(fields["item"])}


def _event(draw):
    fields = {"event": draw.one_of(["party", "meeting", "concert", "dinner", "picnic", "lesson",
                                    "match", "market"]), "day": draw.slot("day", DAYS),
              "city": draw.slot("city", CITIES), "month": draw.slot("month", MONTHS),
              "name": draw.slot("name", NAMES)}
    text = draw.form("event text", [
        "The {event} is on {day}.", "The {event} in {city} is on {day}.",
                                    "{name} plans a {event} in {month}.",
                                    "On {day} there is a {event} in {city}.",
        "{name} invites you to a {event} on {day}.",
                                    "In {month} {name} gives a {event} in {city}."])
    return fields, text, {}


def _pet(draw):
    fields = {"name": draw.slot("name", NAMES), "animal": draw.slot("animal", ANIMALS),
              "colour": draw.slot("colour", COLOURS), "food": draw.slot("food", FOODS),
              "age": draw.number(1, 20)}
    text = draw.form("pet text", [
        "{name} is a {colour} {animal}.", "The {animal} {name} likes {food}.",
                                  "Our {animal} is called {name} and is {age} years old.",
                                  "{name}, a {colour} {animal}, eats {food}.",
        "There was a {colour} {animal} called {name}.",
                                  "A {animal} named {name}, {age} years old, eats {food}."])
    return fields, text, {}


_ASK = ["Extract {k} as JSON: {t}", "Extract the {k} as JSON: {t}", "{t} Give me {k} as JSON.",
        "Return JSON with {k}: {t}", "Answer in JSON with the keys {k}. {t}",
        "Turn this into JSON with {k}: {t}", "{t} Extract {k} as JSON.",
        "Give me a JSON object with {k}. Text: {t}",
        "Find {k} in this text and answer with JSON: {t}",
        "Write {k} of this sentence as JSON: {t}"]


def extract(draw):
    fields, form, more = draw.one_of([_person, _person, _sale, _event, _pet])(draw)
    sentence = form.format(**fields, **more)
    present = [k for k in fields if "{" + k in form or "{a" + k + "}" in form]
    present.sort(key=lambda k: min(i for i in (form.find("{" + k), form.find("{a" + k)) if i >= 0))
    count = draw.number(1, len(present)) if draw.chance(0.4) else len(present)
    keys = draw.random.sample(present, count)
    if draw.chance(0.6):
        keys.sort(key=present.index)
    listed = keys[0] if len(keys) == 1 else ", ".join(keys[:-1]) + " and " + keys[-1]
    question = draw.form("extract", _ASK).format(k=listed, t=sentence)
    return question, json.dumps({k: fields[k] for k in keys})


def json_list(draw):
    kind, values = draw.one_of([("names", NAMES), ("cities", CITIES), ("colours", COLOURS),
                                ("animals", ANIMALS), ("fruits", FRUITS)])
    chosen = draw.slots(kind, values, draw.number(2, 5))
    text = draw.form("json list", ["Make a JSON list of these {k}: {v}",
                                   "Write these {k} as a JSON array: {v}",
                                   "Turn this into a JSON list: {v}",
                                   "{v}. As a JSON list, please.",
                                   "Give me a JSON array of: {v}"])
    return text.format(k=kind, v=", ".join(chosen)), json.dumps(chosen)


def json_object(draw):
    pairs = {"name": draw.slot("name", NAMES), "age": draw.number(4, 95), "city": draw.slot("city",
        CITIES), "colour": draw.slot("colour", COLOURS)}
    keys = draw.random.sample(list(pairs), draw.number(1, 4))
    said = ", ".join(f"{k} {pairs[k]}" for k in keys)
    text = draw.form("json object", ["Make a JSON object: {s}", "Write as JSON: {s}",
                                     "JSON with {s}", "Make JSON of this: {s}",
                                     "Give me a JSON object with {s}."])
    return text.format(s=said), json.dumps({k: pairs[k] for k in keys})


FAMILY = [(extract, 8), (json_list, 1.5), (json_object, 1.5)]
