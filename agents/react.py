"""An agent that answers questions about a company's documents and database, one tool call after another.

    python agents/react.py "How many days of annual leave does everybody have?"

Works with any server of the OpenAI chat API: set OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL.
"""

import argparse
import os
import sys
from typing import Any

import openai
from langchain.agents import create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    ModelCallLimitMiddleware,
    ToolCallRequest,
    ToolErrorMiddleware,
)
from langchain_core.messages import HumanMessage
from langchain_core.tools import ToolException
from langchain_openai import ChatOpenAI
from pydantic import SecretStr
from react_tools import TOOLS

PROMPT = """You answer questions about Marlow Fieldworks, a maker of weather stations and soil probes.
Use the tools: search for rules, products, incidents and runbooks; sql for figures on orders, customers,
stock, employees and tickets; calculator, convert, date_add and date_diff for every computation.
Call several tools at once when they do not depend on each other. If a tool fails, correct the call.
Answer in one or two sentences, with the numbers that the tools returned."""


def report_to_model(error: Exception, _request: ToolCallRequest) -> str | None:
    """Let the model read what a tool complains about; any other exception is a bug and ends the run."""
    return f"Error: {error}" if isinstance(error, ToolException) else None


model = ChatOpenAI(
    model=os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
    api_key=SecretStr(os.environ.get("OPENAI_API_KEY", "none")),
    temperature=0,
    max_completion_tokens=256,
    streaming=True,
    stream_usage=True,
    use_responses_api=False,
)
middleware: list[AgentMiddleware[Any, None, Any]] = [
    ModelCallLimitMiddleware(run_limit=8, exit_behavior="end"),
    ToolErrorMiddleware(report_to_model),
]
agent = create_agent(model, TOOLS, system_prompt=PROMPT, middleware=middleware, name="react")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", help="what to ask")
    question = parser.parse_args().question
    try:
        result = agent.invoke({"messages": [HumanMessage(question)]})
    except openai.APIConnectionError:
        sys.exit(f"Cannot reach {model.root_client.base_url}: is it running, and is OPENAI_BASE_URL right?")
    except openai.APIStatusError as failure:
        sys.exit(f"{model.root_client.base_url} answered {failure.status_code}: {failure.message}")
    print(result["messages"][-1].text)
