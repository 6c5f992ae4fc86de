"""Templates for models that were trained to judge: each in the form that its authors document.

None comes along by itself, and none is for another model than it names. Where a licence lets the words be used, they
are the authors' own; else the form is theirs and the words are this project's (docs/templates.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from rlaif_fast.prompts.template import Wording


@dataclass(frozen=True)
class JudgeModel:
    """Models, and the template they are asked through.

    Attributes:
        models: their names on the hub.
        chat: whether they are asked through their chat template.
        source: where their authors document the form.
    """

    wording: Wording
    models: str
    chat: bool
    source: str


_ALL = (
    JudgeModel(
        Wording(
            "pandalm",
            "Below are two responses for a given task. The task is defined by the Instruction. Evaluate the responses"
            " and generate a reference answer for the task.\n\n",
            "### Instruction:\n{instruction}\n\n### Response 1:\n{first}\n\n### Response 2:\n{second}\n\n",
            "### Evaluation:\n",
        ),
        "WeOpenML/PandaLM-7B-v1",
        chat=False,
        source="https://github.com/WeOpenML/PandaLM (pandalm/utils/pandalm_inference.py, Apache-2.0)",
    ),
    JudgeModel(
        Wording(
            "prometheus",
            "You are a fair judge assistant assigned to deliver insightful feedback that compares individual"
            " performances, highlighting how each stands relative to others within the same cohort.\n"
            "###Task Description:\n"
            "An instruction (might include an Input inside it), two responses to evaluate (denoted as Response A and"
            " Response B), and an evaluation criteria are given.\n"
            "1. Write a detailed feedback that assess the quality of the two responses strictly based on the given"
            " evaluation criteria, not evaluating in general.\n"
            "2. Make comparisons between Response A, Response B, and the Reference Answer. Instead of examining"
            " Response A and Response B separately, go straight to the point and mention about the commonalities and"
            " differences between them.\n"
            '3. After writing the feedback, indicate the better response, either "A" or "B".\n'
            '4. The output format should look as follows: "Feedback: (write a feedback for criteria) [RESULT] (Either'
            ' "A" or "B")"\n'
            "5. Please do not generate any other opening, closing, and explanations.\n\n",
            "###Instruction:\n{instruction}\n\n###Response A:\n{first}\n\n###Response B:\n{second}\n\n",
            "###Score Rubric:\nIs the response helpful, correct and complete?\n\n###Feedback: ",
            labels=(" A", " B"),
            reply="[RESULT]",
        ),
        "prometheus-eval/prometheus-7b-v2.0, Unbabel/M-Prometheus-3B, -7B",
        chat=True,
        source="https://github.com/prometheus-eval/prometheus-eval (prometheus_eval/prompts.py, Apache-2.0)",
    ),
    JudgeModel(
        Wording(
            "skywork-critic",
            "You are an impartial judge of two AI assistants who answered the same user. Choose the one whose answer"
            " does what the user asked, and does it better.\n"
            "Look at how helpful, relevant, correct, deep and complete the answers are. The order of the answers, their"
            " length and the assistants' names must not count.\n"
            'Give your verdict at once and in this form only: "[[A]]" if assistant A is better, "[[B]]" if assistant B'
            " is better.\n\n",
            "[User Question]\n{instruction}\n\n"
            "[The Start of Assistant A's Answer]\n{first}\n[The End of Assistant A's Answer]\n\n"
            "[The Start of Assistant B's Answer]\n{second}\n",
            "[The End of Assistant B's Answer]",
            labels=("A", "B"),
            reply="[[",
        ),
        "Skywork/Skywork-Critic-Llama-3.1-8B",
        chat=True,
        source="https://huggingface.co/Skywork/Skywork-Critic-Llama-3.1-8B",
    ),
)
JUDGE_MODELS = {one.wording.name: one for one in _ALL}
