"""Chats with functions: the call, its result, the answer; and questions that need no function.

Besides the common functions there are made-up ones, so that names and arguments are copied from the
system prompt rather than learnt by heart.
"""
import json

from .words import CITIES, COLOURS, DAYS, FOODS, HOBBIES, MONTHS, NAMES, OBJECTS, PLACES, ROOMS, WEATHER, capital

# parameter -> (type, description, slot kind, values)
_PARAMETERS = {
    "city": ("string", "The city", "city", CITIES), "location": ("string", "The place", "city",
        CITIES), "name": ("string", "The name", "name", NAMES),
    "person": ("string", "The person", "name", NAMES), "day": ("string", "The day", "day", DAYS),
               "month": ("string", "The month", "month", MONTHS),
    "item": ("string", "The thing", "thing", OBJECTS), "food": ("string", "The food", "food",
        FOODS), "room": ("string", "The room", "room", ROOMS),
    "colour": ("string", "The colour", "colour", COLOURS), "place": ("string", "The place", "place",
        PLACES), "hobby": ("string", "The hobby", "hobby", HOBBIES),
    "count": ("integer", "How many", "count", range(1, 60)), "minutes": ("integer", "Minutes",
        "count", range(1, 60)), "amount": ("integer", "The amount", "count", range(1, 99)),
}

# name, description, required parameters, wordings
_COMMON = [
    ("get_weather", "Get the weather of a city", ["city"], ["What is the weather in {city}?",
                                                            "How is the weather in {city}?",
                                                            "Is it raining in {city}?",
                                                            "Tell me the weather in {city}.",
                                                            "What's the weather like in {city} today?", "Weather in {city}?", "Will it be cold in {city}?"]),
    ("get_current_weather", "Get the current weather", ["location"],
     ["What is the weather in {location}?", "How is the weather in {location} now?",
      "Tell me the current weather in {location}.", "Is it sunny in {location}?",
      "What's the weather like in {location}?"]),
    ("get_time", "Get the time in a city", ["city"], ["What time is it in {city}?",
                                                      "Tell me the time in {city}.",
                                                      "How late is it in {city}?",
                                                      "What is the time in {city}?",
                                                      "Time in {city}?"]),
    ("set_timer", "Set a timer", ["minutes"], ["Set a timer for {minutes} minutes.",
                                               "Wake me in {minutes} minutes.",
                                               "Start a timer of {minutes} minutes.",
                                               "Remind me in {minutes} minutes.",
                                               "Timer: {minutes} minutes"]),
    ("turn_on_light", "Turn on the light in a room", ["room"], ["Turn on the light in the {room}.",
        "Light in the {room}, please.", "It is dark in the {room}. Turn on the light.",
        "Switch on the light in the {room}.", "Make light in the {room}."]),
    ("call_person", "Call a person", ["name"], ["Call {name}.", "Please call {name}.",
                                                "Can you call {name}?", "Ring {name}.",
                                                "I want to talk to {name}. Call, please."]),
    ("send_message", "Send a greeting to a person on a day", ["name", "day"],
     ["Send {name} a greeting on {day}.", "Greet {name} on {day}.",
      "On {day}, send a greeting to {name}.", "Please send {name} a greeting on {day}.",
      "Let {name} have a greeting on {day}."]),
    ("order_food", "Order food", ["food", "count"], ["Order {count} {food}.",
                                                     "I want {count} {food}.",
                                                     "Please order {food}, {count} times.",
                                                     "Get me {count} {food}.",
                                                     "We would like {count} {food}."]),
    ("buy_item", "Buy a thing", ["item", "count"], ["Buy {count} of the {item}.",
                                                    "I need {count} of {item}.",
                                                    "Please buy {item}, {count} pieces.",
                                                    "Order {count} pieces of {item}.",
                                                    "Get {count} of {item} for me."]),
    ("find_recipe", "Find a recipe", ["food"], ["Find a recipe for {food}.",
                                                "How do I cook {food}?", "I want to make {food}.",
                                                "Show me a recipe for {food}.",
                                                "Look for a recipe for {food}."]),
    ("book_room", "Book a hotel room", ["city", "day"], ["Book a room in {city} for {day}.",
                                                         "I need a hotel in {city} on {day}.",
                                                         "Reserve a room in {city} on {day}.",
                                                         "Find me a hotel in {city} for {day}.",
                                                         "On {day} I want to sleep in {city}. Book a room."]),
    ("paint_wall", "Paint a wall", ["room", "colour"], ["Paint the {room} {colour}.",
                                                        "I want the {room} in {colour}.",
                                                        "Make the {room} {colour}.",
                                                        "Please paint the wall of the {room} {colour}.", "The {room} should be {colour}."]),
]
_VERBS = ["get", "find", "search", "open", "check", "add", "list", "show", "read", "start", "send",
          "make", "remove", "update", "create", "look_up"]
_NOUNS = ["news", "train", "map", "photo", "note", "song", "film", "event", "price", "contact",
          "album", "report", "booking", "route", "ticket", "alarm", "letter", "task", "file",
          "word"]
_MADE_UP = ["{V} the {N} for {p}.", "Please {V} the {N}: {p}.", "Can you {V} the {N} with {p}?",
            "I want to {V} the {N} for {p}.", "{V} {N}, {p}."]
_NO_NEED = [("Hello!", "Hello! How can I help you?"), ("Thank you!", "You are welcome!"),
            ("Who are you?",
             "I am hearth-tiny, a very small language model that comes with Hearth."),
            ("How are you?", "I am fine, thank you. How are you?"), ("Hi!",
                "Hello! How can I help you?"), ("Goodbye!", "Goodbye! Have a nice day.")]


def _tool(name, description, parameters, draw):
    properties = {p: {"type": _PARAMETERS[p][0]} for p in parameters}
    if draw.chance(0.7):
        for p in parameters:
            properties[p]["description"] = _PARAMETERS[p][1]
    function = {"name": name, "description": description, "parameters": {"type": "object",
        "properties": properties}}
    if draw.chance(0.7):
        function["parameters"]["required"] = list(parameters)
    return {"type": "function", "function": function}


def _made_up(draw):
    verb, noun = draw.one_of(_VERBS), draw.one_of(_NOUNS)
    draw.values("function", verb, noun)
    parameters = draw.random.sample(list(_PARAMETERS), draw.number(1, 3))
    words = verb.replace("_", " ")
    listed = " and ".join(p + " {" + p + "}" for p in parameters)
    form = draw.form("made up", _MADE_UP).replace("{V}", words).replace("{N}", noun).replace("{p}",
        listed)
    return f"{verb}_{noun}", f"{words.capitalize()} the {noun}", parameters, capital(form)


def _call(draw, spec):
    name, _, parameters, question = spec
    arguments = {p: draw.slot(_PARAMETERS[p][2], _PARAMETERS[p][3]) for p in parameters}
    call = json.dumps({"name": name, "arguments": arguments})
    return question.format(**arguments), f"<tool_call>\n{call}\n</tool_call>", arguments


def _result(draw, name, arguments):
    """A function's result and what is said of it."""
    if "weather" in name:
        degrees, sky = draw.number(-5, 35), draw.slot("weather", WEATHER)
        place = next(iter(arguments.values()))
        draw.values("degrees", degrees)
        return json.dumps({"temperature": degrees,
                           "weather": sky}), f"In {place} it is {sky}, with {degrees} degrees."
    if name == "get_time":
        time = f"{draw.number(0, 23):02}:{draw.number(0, 59):02}"
        return json.dumps({"time": time}), f"It is {time} in {arguments['city']}."
    if draw.chance(0.25):
        return json.dumps({"error": "not found"}), "I am sorry, that did not work: not found."
    return json.dumps({"ok": True}), "It is done."


def chat(draw):
    """(tools, [(role, text), ...]) of one chat with one to three functions."""
    specs = []
    for _ in range(draw.one_of([1, 1, 2, 2, 3])):
        if draw.chance(0.6):
            name, description, parameters, forms = draw.one_of(_COMMON)
            specs.append((name, description, parameters, draw.form(name, forms)))
        else:
            specs.append(_made_up(draw))
    specs = list({spec[0]: spec for spec in specs}.values())
    if {"get_weather", "get_current_weather"} <= {spec[0] for spec in specs}:
        specs = specs[1:]
    tools = [_tool(*spec[:3], draw) for spec in specs]
    messages = []
    for _ in range(draw.one_of([1, 1, 2])):
        if draw.chance(0.15):
            question, answer = draw.one_of(_NO_NEED)
            messages += [("user", question), ("assistant", answer)]
            continue
        spec = draw.one_of(specs)
        question, call, arguments = _call(draw, spec)
        messages += [("user", question), ("assistant", call)]
        if draw.chance(0.6):
            result, answer = _result(draw, spec[0], arguments)
            messages += [("tool", result), ("assistant", answer)]
        else:
            break
    return tools, messages
