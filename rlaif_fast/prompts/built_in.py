"""The built-in templates: the RLAIF paper's three tasks (arXiv 2309.00267), each in a short and a detailed wording.

``summary`` is the paper's own text as the seed notebook has it. The others are this project's words, in the paper's
layout (docs/templates.md).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from rlaif_fast.errors import TemplateError
from rlaif_fast.prompts.guards import GUARDS
from rlaif_fast.prompts.judge_models import JUDGE_MODELS
from rlaif_fast.prompts.score_template import SCORE_TEMPLATES
from rlaif_fast.prompts.template import BASE, Template, Wording
from rlaif_fast.wording import near

DEFAULT = BASE.name

_RESPONSES = "Context - {instruction}\nResponse 1 - {first}\nResponse 2 - {second}\n", "Preferred Response="
_ALL = [
    BASE,
    Wording(
        "summary-detailed",
        "A good summary is shorter than its text, serves the same purpose, and keeps what matters in it."
        " Four things make it good:\n"
        "Coherence: read on its own it makes sense, and it is written clearly and without mistakes.\n"
        "Accuracy: whatever it states is stated in the text; nothing is invented, nothing is turned around.\n"
        "Coverage: who reads only the summary knows what is important in the text and why it was written.\n"
        "Overall quality: the three taken together. A summary that states something false is not good, however well"
        " it reads.\n"
        "You are an expert rater of summaries. Given a text and two possible summaries, output 1 or 2 to indicate"
        " which is better by coherence, accuracy, coverage and overall quality.\n\n",
        BASE.body,
        BASE.ending,
    ),
    Wording(
        "helpful",
        "A good response answers what was asked, is correct, and is honest about what it does not know.\n"
        "You are an expert rater. Given a conversation and two possible responses, output 1 or 2 to indicate which is"
        " more helpful.\n\n",
        *_RESPONSES,
    ),
    Wording(
        "helpful-detailed",
        "A helpful response does for the person what a knowledgeable friend would do. Consider four things:\n"
        "Purpose: it answers the question that was meant, follows the instructions given, and asks back only where it"
        " must.\n"
        "Correctness: what it states is true, and its code, figures and advice work.\n"
        "Honesty: it says what it does not know or cannot do, and does not pretend.\n"
        "Measure: it is as long as the matter needs, clear, and in the tone the situation asks for; it does not write"
        " the person's next words for them.\n"
        "You are an expert rater of an assistant's responses. Given a conversation and two possible responses, output"
        " 1 or 2 to indicate which is more helpful by purpose, correctness, honesty and measure.\n\n",
        *_RESPONSES,
    ),
    Wording(
        "harmless",
        "A good response helps nobody to do harm, and is neither offensive nor dangerous to follow.\n"
        "You are an expert rater. Given a conversation and two possible responses, output 1 or 2 to indicate which is"
        " less harmful.\n\n",
        *_RESPONSES,
    ),
    Wording(
        "harmless-detailed",
        "A harmless response makes nothing worse, for the person who asks or for anyone else. Consider four things:\n"
        "Aid: it gives no means, plan or encouragement to hurt, deceive, rob or stalk somebody, or to break the law.\n"
        "Respect: it does not insult, threaten or demean, and does not speak of people as less for what they are.\n"
        "Safety: following it endangers nobody's health, money or private life, and where there is danger it says so"
        " and points to help.\n"
        "Manner: it declines what is harmful plainly and without contempt, and does not decline what is not.\n"
        "You are an expert rater of an assistant's responses. Given a conversation and two possible responses, output"
        " 1 or 2 to indicate which is less harmful by aid, respect, safety and manner.\n\n",
        *_RESPONSES,
    ),
]
BUILT_IN = {wording.name: wording for wording in _ALL}


def wording_named(name: str) -> Wording:
    """A built-in template, or one for a judge model.

    Raises:
        TemplateError: there is none of that name, or it asks about one response.
    """
    found = _named(name)
    if found is None:
        if name in SCORE_TEMPLATES or name in GUARDS:
            raise TemplateError(
                f"the template {name!r} asks about one response, this needs one for pairs: {', '.join(BUILT_IN)},"
                f" {', '.join(JUDGE_MODELS)}, or a .toml file"
            )
        names = [*BUILT_IN, *SCORE_TEMPLATES, *JUDGE_MODELS, *GUARDS]
        if meant := near(name.lower(), names):
            raise TemplateError(
                f"no template {name!r}, did you mean {meant}? (`rlaif-fast template list` shows all; a file's name ends"
                " in .toml)"
            )
        raise TemplateError(f"no template {name!r}, there is: {', '.join(names)}; a file's name ends in .toml")
    return found


def _named(name: str) -> Wording | None:
    return JUDGE_MODELS[name].wording if name in JUDGE_MODELS else BUILT_IN.get(name)


def template_of(wording: Wording) -> Template:
    """The prompt. Where it is not a built-in one as it stands, a digest of it is part of its name.

    So no two different prompts share a name, nor a bundle's folder. Raises TemplateError.
    """
    template = wording.template()
    if _named(wording.name) == wording:
        return template
    parts = [template.text, *template.labels, *([f"\n{template.reply}"] if template.reply else [])]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return replace(template, name=f"{template.name}-{digest[:8]}")
