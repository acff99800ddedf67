# frozen_string_literal: true

require "erb"
require "rack"

# A question with a button for each answer. Votes are kept in memory.
class Poll
  PAGE = ERB.new(File.read(File.join(__dir__, "views", "poll.erb")))

  def initialize(choices)
    @votes = choices.to_h { |choice| [choice, 0] }
    @mutex = Mutex.new
  end

  def call(env)
    request = Rack::Request.new(env)
    return answer(404, "There is one page, at /.", "text/plain") unless request.path_info == "/"
    return answer(200, page, "text/html") unless request.post?

    count(request.params["choice"]) ? [303, { "location" => "/" }, []] : answer(422, "That is none of the answers.", "text/plain")
  end

  private

  def count(choice)
    @mutex.synchronize { @votes.key?(choice) && @votes[choice] += 1 }
  end

  def page
    PAGE.result_with_hash(votes: @mutex.synchronize { @votes.dup }, escape: ERB::Util.method(:html_escape))
  end

  def answer(status, text, type)
    [status, { "content-type" => "#{type}; charset=utf-8" }, [text]]
  end
end
