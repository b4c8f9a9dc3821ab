"""Documents in the chat form that the model's template (chat_template.jinja) renders."""
import json

TOOLS_BEFORE = "You can call these functions:\n<tools>\n"
TOOLS_AFTER = ("</tools>\nTo call one, answer with\n<tool_call>\n"
               "{\"name\": NAME, \"arguments\": {...}}\n</tool_call>")


def render(messages, system=None, tools=()):
    """[(role, text)] as ChatML, from the system prompt to the last message's end."""
    head = [system] if system else []
    if tools:
        head.append(TOOLS_BEFORE + "".join(json.dumps(tool) + "\n" for tool in tools) + TOOLS_AFTER)
    if head:
        messages = [("system", "\n\n".join(head)), *messages]
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages)
