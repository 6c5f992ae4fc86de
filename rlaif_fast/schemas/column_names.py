"""What data sets call the parts of a question: names of columns, and of keys inside messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from rlaif_fast.wording import meant

SYSTEM = (
    "system", "system_prompt", "system_message", "system_instruction", "system_instructions", "sys_prompt", "preamble",
    "system_msg", "system_text", "custom_system_prompt",
)  # fmt: skip
TOOLS = ("tools", "functions", "available_tools", "available_functions", "tool_definitions", "function_definitions")
HISTORY = ("history", "chat_history", "conversation_history", "dialogue_history", "dialog_history", "message_history")
BEHIND = ("input", "context")
MEDIA = (
    "image", "images", "image_url", "image_urls", "image_path", "image_paths", "image_file", "image_files", "img",
    "imgs", "img_path", "video", "videos", "video_url", "video_path", "audio", "audios", "audio_url", "audio_path",
)  # fmt: skip
DOCUMENTS = (
    "passage", "passages", "document", "documents", "article", "articles", "background", "reference_text",
    "source_text", "retrieved_contexts", "contexts", "attachment", "attachments", "experimental_attachments",
    "doc", "docs", "ctx", "additional_context", "extra_context", "context_text", "search_results", "chunks", "snippets",
    "retrieved_documents", "retrieved_docs", "retrieved_passages", "knowledge_base", "evidence", "supporting_facts",
    "transcript", "premise", "premises", "source_document", "source_code", "buggy_code", "starter_code", "sql_schema",
    "上下文",
)  # fmt: skip
QUESTIONS = ("prompt", "instruction", "question", "query")
CHOICES = ("choices", "options")
BEGUN = ("initial_reason_steps", "prefix", "prefill", "response_prefix", "assistant_prefix")  # the answer's beginning
TURNS = (
    "conversation", "dialogue", "dialog", "previous_turns", "previous_messages", "prior_turns", "conversation_context",
    "dialogue_context", "dialog_context", "chat_context",
)  # fmt: skip
ASKED = (
    "sys",
    "inputs",
    "input_text",
    "user_input",
    "user_prompt",
    "user_query",
    "problem",
    "problem_statement",
    "输入",
)
UNSURE = (*QUESTIONS, *DOCUMENTS, *CHOICES, *BEGUN, *TURNS, *ASKED)
UNSURE_IF_LONG = (
    "post", "body", "paragraph", "paragraphs", "code", "table", "tables", "schema", "text", "abstract", "email",
    "knowledge", "claim", "persona", "character", "scenario", "test_cases", "selftext", "story", "news", "facts",
    "examples", "demonstrations", "few_shot", "tool_list", "tool_description", "tool_descriptions",
)  # fmt: skip
CALLS = ("tool_calls", "function_call", "function_calls", "tool_call")
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_details")
INSIDE = (*DOCUMENTS, "context", "contexts", "file", "files")  # of a message
_NOTHING = ("[]", "{}", "null", "None")


@lru_cache(1024)  # a file's rows have the same columns
def plain(name: str) -> str:
    """A name as it is looked up: ``chatHistory``, ``Chat History`` and ``chat-history`` are ``chat_history``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[ -]+", "_", name.strip()).lower()


def meant_column(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'response0'?`` behind what is said of a column that there is not; or nothing.

    What differs in a number is another column: ``response_1`` is no slip of ``response_0``.
    """
    alike = [one for one in names if re.findall(r"[0-9]", one) == re.findall(r"[0-9]", name)]
    return meant(name, alike)


def is_there(value: Any) -> bool:
    """Whether a value says anything: null, NaN, blanks, and lists and objects of such do not."""
    waiting = [value]  # no recursion: rows are nested as deep as somebody likes
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value
        elif isinstance(value, str):
            if value.strip() and value.strip() not in _NOTHING:
                return True
        elif value is not None and value == value:
            return True
    return False
