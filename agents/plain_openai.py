"""An agent without a framework: three calls in a fixed chain, plan, draft and improve."""

import os
import sys

from openai import OpenAI


def answer(task: str) -> str:
    with OpenAI(api_key=os.environ.get("OPENAI_API_KEY", "none")) as client:

        def ask(prompt: str) -> str:
            reply = client.chat.completions.create(
                model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
                messages=[{"role": "user", "content": prompt}],
                temperature=0,
                max_tokens=256,
            )
            return reply.choices[0].message.content or ""

        plan = ask(f"List in three lines what a good answer to this must contain.\n\n{task}")
        draft = ask(f"Write the answer.\n\nTask: {task}\n\nIt must contain:\n{plan}")
        return ask(f"Make this text shorter and clearer; keep every fact.\n\nTask: {task}\n\n{draft}")


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):  # noqa: PLR2004 - the program and the task
        sys.exit('usage: python plain_openai.py "what to write"')
    print(answer(sys.argv[1]))
